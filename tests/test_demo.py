"""i2i demo: what the page makes of a visitor's pictures, and what is left of an upload."""

from __future__ import annotations

import json
import shutil
import struct
import threading
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.demo import controls, markup, page
from i2i.demo import visit as visit_module
from i2i.demo.groups import Group, grouped
from i2i.demo.visit import Choice, Visit
from i2i.translator import Translator
from i2i_core.data.formats.picture import Picture
from i2i_core.errors import DataError, UsageError
from i2i_emoji.drawings import Drawings

from .models import untrained


@pytest.fixture(scope="module")
def model(tiny_run) -> Translator:
    return i2i.load(tiny_run, device="cpu")


@pytest.fixture(scope="module")
def plain() -> Translator:
    """A model without styles and masks."""
    return untrained("cyclegan.yaml", *(f"networks.{name}.width=4" for name in ("G", "F", "D_X", "D_Y")))


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    drawings = Drawings(split="val")
    files = {"penguin": tmp_path / "penguin.png", "castle": tmp_path / "castle.png"}
    drawings.picture(0, 151).resize((90, 60)).save(files["penguin"])
    drawings.picture(1, 130).save(files["castle"])
    return files


@pytest.fixture
def visit(model, pictures) -> Visit:
    visit = Visit(model)
    visit.bring("x_real", pictures["penguin"], "penguin.png")
    return visit


@pytest.fixture(scope="module")
def group(model) -> Group:
    """The only group of uses of the quick start: styles from latents and from references."""
    (group,) = grouped(model).values()
    return group


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and bool((pixels(one) == pixels(other)).all())


# What a visitor sees.


def test_the_page_shows_what_the_model_makes_of_a_seed_or_a_reference(model, visit, group, pictures):
    asked = {"domain": "high_contrast", "psi": 0.5}
    by_seed = visit.translation(group, "high_contrast", 0.5, [Choice(seed=3)])
    assert by_seed.size == (32, 32), "training stretches pictures"
    assert same(by_seed, model(pictures["penguin"], seed=3, **asked))
    visit.bring_reference(0, group, pictures["castle"], "castle.png")
    by_reference = visit.translation(group, "high_contrast", 0.5, [Choice(reference=True)])
    assert (
        np.abs(pixels(by_reference) - pixels(model(pictures["penguin"], reference=pictures["castle"], **asked))).max()
        <= 1
    )  # the reference is kept as the 8 bits that the model reads


def test_a_blend_goes_from_the_first_style_to_the_second_without_encoding_again(visit, group):
    encoded = []
    hook = visit.model.networks["generator"].encode.register_forward_hook(lambda *_: encoded.append(1))
    first, second = Choice(0, 0), Choice(1, 5)
    alone = [visit.translation(group, "flat", 1, [choice]) for choice in (first, second)]
    blended = [visit.translation(group, "flat", 1, [first, second], share) for share in (0, 0.25, 0.5, 0.75, 1)]
    hook.remove()
    assert same(blended[0], alone[0])
    assert np.abs(pixels(blended[-1]) - pixels(alone[1])).max() <= 1
    assert len({made.tobytes() for made in blended}) == 5
    assert len(encoded) == 1


def test_another_reference_is_another_style(visit, group, pictures):
    made = []
    for name in ("castle", "penguin"):
        visit.bring_reference(0, group, pictures[name], name)
        made.append(visit.translation(group, "flat", 1, [Choice(reference=True)]))
    assert not same(*made)


def test_a_reference_that_is_missing_is_asked_for(visit, group):
    with pytest.raises(UsageError) as caught:
        visit.translation(group, "flat", 1, [Choice(reference=True)])
    assert str(caught.value) == "Add a reference: a picture of the domain flat."


def test_masks_are_orange_where_they_are_one(visit, group):
    full, no_mouth = visit.masks(group)
    grey = pixels(visit.shown("x_real").convert("L"))[..., None]
    assert np.abs(pixels(full) - (0.4 * grey + 0.6 * np.array([255, 64, 0]))).max() <= 1  # the quick start's are ones
    assert same(full, no_mouth)


def test_masks_lie_where_the_model_has_them(visit, group, monkeypatch):
    left, nothing = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    left[..., :16] = 1
    grey = pixels(visit.shown("x_real").convert("L"))[..., None]
    for masks in ((left, nothing), left):
        monkeypatch.setattr(visit.sources(group), "tensor", lambda name, masks=masks: masks)
        shown, *others = visit.masks(group)
        assert np.abs(pixels(shown)[:, :16] - (0.4 * grey + 0.6 * np.array([255, 64, 0]))[:, :16]).max() <= 1
        for untouched in (pixels(shown)[:, 16:] - grey[:, 16:], *(pixels(other) - grey for other in others)):
            assert np.abs(untouched).max() == 0


def test_a_reference_waits_for_a_translation_under_way(visit, group, pictures):
    with visit_module._one_at_a_time:
        bringing = threading.Thread(target=visit.bring_reference, args=(0, group, pictures["castle"], "castle.png"))
        bringing.start()
        bringing.join(0.2)
        assert bringing.is_alive()
        assert visit.reference(0, group) is None
    bringing.join()
    assert visit.reference(0, group) is not None


def shown(model: Translator) -> dict[str, bool]:
    """The page's labelled parts, and whether they are to be seen."""
    parts = page.build(model).config["components"]
    return {part["props"]["label"]: part["props"]["visible"] for part in parts if part["props"].get("label")}


def test_a_model_without_styles_and_masks_has_no_parts_for_them(model, plain, pictures):
    assert {label for label, visible in shown(model).items() if not visible} == {"Use of the model"}
    assert {label for label, visible in shown(plain).items() if not visible} == {
        "Use of the model",
        "Target domain",
        "Style from",
        "Second style from",
        "Blend with a second style",
        "Truncation ψ",
        "Masks",
    }  # and it knows one domain to translate into
    visit, (group,) = Visit(plain), grouped(plain).values()
    visit.bring("x_real", pictures["penguin"], "penguin.png")
    assert same(
        visit.translation(group, "high_contrast", 1, [Choice()]), plain(pictures["penguin"], domain="high_contrast")
    )
    assert visit.masks(group) == []


def test_names_of_files_are_text_in_the_page():
    white = Image.new("RGB", (2, 2), "white")
    shown = markup.translated(white, white, Picture(), "<b>", '"><script>')
    assert "<b>" not in shown
    assert "<script>" not in shown
    assert 'download="&quot;&gt;&lt;script&gt;-&lt;b&gt;.png"' in shown
    assert markup.alert("<i>") == '<p role="alert">&lt;i&gt;</p>'


# Uploads.


def bomb(file: Path) -> None:
    """15 kB that say they are 300 million pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 20000, 15000, 8, 2, 0, 0, 0)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6))))


def turned(file: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # as a phone that was held upright
    Image.new("RGB", (60, 30), "red").save(file, exif=exif)


def phone(file: Path) -> None:
    import pillow_heif

    pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(file, quality=100)


def animated(file: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(file, save_all=True, append_images=[Image.new("RGB", (40, 40), "blue")])


GOOD = {
    "grey16.png": (lambda file: Image.fromarray(np.full((20, 20), 40000, np.uint16)).save(file), (156, 156, 156)),
    "cmyk.tif": (lambda file: Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(file), (255, 0, 0)),
    "phone.avif": (lambda file: Image.new("RGB", (40, 20), "red").save(file, quality=100), (255, 0, 0)),
    "phone.heic": (phone, (255, 0, 0)),
    "palette.png": (lambda file: Image.new("RGB", (20, 20), "red").quantize(2).save(file), (255, 0, 0)),
    "turned.png": (turned, (255, 0, 0)),
    "animated.webp": (animated, (255, 0, 0)),
    "animated.gif": (animated, (255, 0, 0)),
}
BAD = {
    "notes.png": (
        lambda file: file.write_text("no"),
        "notes.png cannot be used as a picture: it is text, not a picture",
    ),
    "bomb.png": (bomb, "bomb.png cannot be used as a picture: 20000 x 15000 pixels are more than 250,000,000"),
}


@pytest.fixture
def uploads(monkeypatch, tmp_path):
    """Where uploads are."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def upload(uploads: Path, name: str, write: Any) -> dict[str, str]:
    """What gradio says of an upload, which lies in a folder of its own and may be called otherwise."""
    file = uploads / "0a1b" / "blob"
    file.parent.mkdir()
    write(file.with_name(name))
    file.with_name(name).rename(file)
    return {"path": str(file), "orig_name": name}


@pytest.mark.parametrize("name", GOOD)
def test_pictures_of_any_kind_are_read_and_their_upload_deleted(model, uploads, name):
    write, colour = GOOD[name]
    visit = Visit(model)
    assert controls.received(upload(uploads, name, write), partial(visit.bring, "x_real")) == ""
    assert visit.shown("x_real").size == (32, 32)
    assert np.abs(pixels(visit.shown("x_real")) - colour).max() <= 2
    assert visit.name == Path(name).stem
    assert list(uploads.iterdir()) == []


def test_what_shows_no_face_is_told_where_masks_need_one(tiny_model, uploads, tmp_path, monkeypatch):
    monkeypatch.setattr("i2i_fan_mask.face68.SPREAD", 0.2)  # at 32 pixels, landmarks differ more than at 48
    masked = Path(shutil.copytree(tiny_model, tmp_path.with_name("masked")))
    config = json.loads((masked / "config.json").read_text())
    del config["sha256"]
    config["tensors"]["masks"] = {"use": "fan_mask/face68", "of": "x_real"}
    (masked / "config.json").write_text(json.dumps(config))
    visit = Visit(i2i.load(masked, device="cpu"))
    (group,) = grouped(visit.model).values()
    said = '<p role="alert">No face was found in wall.png, but the model was trained on faces.</p>'
    wall = Image.new("RGB", (40, 40), "grey")
    assert controls.received(upload(uploads, "wall.png", wall.save), partial(visit.bring, "x_real")) == said
    assert controls.received(upload(uploads, "wall.png", wall.save), partial(visit.bring_reference, 0, group)) == said
    assert visit.missing(group) is None and visit.reference(0, group) is not None  # it is translated all the same
    face = Image.open(Path(__file__).resolve().parents[1] / "plugins/fan_mask/tests/astronaut.png")
    assert controls.received(upload(uploads, "face.png", face.save), partial(visit.bring, "x_real")) == ""


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_told_and_deleted(model, uploads, name):
    write, sentence = BAD[name]
    visit = Visit(model)
    assert (
        controls.received(upload(uploads, name, write), partial(visit.bring, "x_real"))
        == f'<p role="alert">{sentence}</p>'
    )
    assert visit.given == {}
    assert list(uploads.iterdir()) == []


def test_a_picture_that_is_gone_is_told(model, tmp_path):
    with pytest.raises(DataError):
        Visit(model).bring("x_real", tmp_path / "gone.png", "gone.png")
