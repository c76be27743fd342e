"""i2i demo: the uses of a model, and pictures and further inputs of any format."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from i2i.demo import controls, markup, page
from i2i.demo.groups import Group, grouped
from i2i.demo.visit import Choice, Visit, strokes
from i2i.translator import Translator
from i2i_core.data.formats.labels import Labels
from i2i_core.errors import DataError

from .models import untrained

Made = Callable[..., Translator]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A photo, a mask, a label map and rasters of 48 x 32 pixels, and a mask of another size."""
    rng = np.random.default_rng(0)
    ids = np.zeros((32, 48), np.uint8)
    ids[4:20, 6:30] = 2
    found = {name: tmp_path / name for name in ("photo.png", "mask.png", "small.png", "map.png", "map.tif", "map.npy")}
    Image.fromarray(rng.integers(256, size=(32, 48, 3), dtype=np.uint8)).save(found["photo.png"])
    Image.fromarray(ids * 127).save(found["mask.png"])
    Image.fromarray(ids[::2, ::2] * 127).save(found["small.png"])
    Image.fromarray(ids).save(found["map.png"])
    bands = rng.integers(10001, size=(32, 48, 4)).astype(np.uint16)
    tifffile.imwrite(found["map.tif"], bands, photometric="minisblack", planarconfig="contig")
    np.save(found["map.npy"], bands)
    return found


def first(model: Translator, use: str | None = None) -> tuple[Visit, Group]:
    groups = grouped(model)
    return Visit(model), groups[use] if use else next(iter(groups.values()))


def shown(model: Translator) -> dict[str, bool]:
    """The page's labelled parts, and whether they are to be seen."""
    parts = page.build(model).config["components"]
    return {part["props"]["label"]: part["props"]["visible"] for part in parts if part["props"].get("label")}


# Uses.


def test_uses_that_differ_in_the_source_of_the_style_alone_are_one_choice(made: Made) -> None:
    groups = grouped(made("photos", "drawings", "all"))
    assert {name: group.main.inputs for name, group in groups.items()} == {
        "plain": {},
        "retouch": {"mask": "mask_real"},
        "tune": {"about": "about_real"},
        "back": {},
    }
    (pair,) = grouped(untrained("stargan_v2.yaml", "data.image_size=32")).values()
    assert (pair.name, [use.style for use in pair.uses]) == ("latent / reference", ["latent", "reference"])
    assert all(pair.truncates(use) for use in pair.uses)


def test_each_use_makes_what_the_translator_makes(made: Made, files: dict[str, Path]) -> None:
    model = made("photos", "drawings", "all")
    visit, groups = Visit(model), grouped(model)
    visit.bring("x_real", files["photo.png"], "photo.png")
    assert {name: visit.missing(group) for name, group in groups.items()} == {
        "plain": None,
        "retouch": "mask",
        "tune": None,  # sliders have a number from the start
        "back": "",  # whose source is a picture of the other domain
    }
    visit.bring("mask_real", files["mask.png"], "mask.png")
    visit.numbers("about_real", {"light": 0.5, "warmth": -1})
    inputs = {"plain": {}, "retouch": {"mask": files["mask.png"]}, "tune": {"about": {"light": 0.5, "warmth": -1}}}
    for name in inputs:
        group = groups[name]
        mine = visit.translation(group, "drawings", 1, [Choice()])
        theirs = model(files["photo.png"], use=name, inputs=inputs[name])
        assert np.abs(np.asarray(mine).astype(int) - np.asarray(theirs)).max() <= 1
    visit.numbers("about_real", {"light": -1, "warmth": -1})
    darker = visit.translation(groups["tune"], "drawings", 1, [Choice()])
    assert np.asarray(darker).mean() < np.asarray(theirs).mean() - 20


def test_a_use_back_has_a_picture_of_its_own(made: Made, files: dict[str, Path]) -> None:
    visit, group = first(made("photos", "drawings", "all"), "back")
    assert group.main.targets == ("photos",)
    visit.bring("x_real", files["photo.png"], "photo.png")
    assert visit.missing(group) == ""
    visit.bring("x_ref", files["photo.png"], "photo.png")
    negative = visit.translation(group, "photos", 1, [Choice()])
    source = np.asarray(visit.shown("x_ref")).astype(int)
    assert np.abs(np.asarray(negative).astype(int) + source - 255).max() <= 1


def test_each_direction_has_its_own_styles_and_mean_style(files: dict[str, Path]) -> None:
    model = untrained("munit.yaml", "data.image_size=32")
    groups = grouped(model)
    assert [*groups] == ["a_to_b / a_to_b_like", "b_to_a / b_to_a_like"]
    for group in groups.values():
        assert group.mean is group.main and all(group.truncates(use) for use in group.uses)
        (target,) = group.main.targets
        visit = Visit(model)
        visit.bring(group.main.use.source, files["photo.png"], "photo.png")
        mine = visit.translation(group, target, 0.5, [Choice(seed=3)])
        theirs = model(files["photo.png"], domain=target, seed=3, psi=0.5)
        assert np.abs(np.asarray(mine).astype(int) - np.asarray(theirs)).max() <= 1


def test_a_visit_asks_for_the_picture_first(made: Made, files: dict[str, Path]) -> None:
    visit, group = first(made("photos", "drawings", "retouch"))
    visit.bring("mask_real", files["mask.png"], "mask.png")
    assert visit.missing(group) == ""
    visit.bring("x_real", files["photo.png"], "photo.png")
    assert (visit.missing(group), visit.name) == (None, "photo")


def test_an_input_of_another_size_is_told_and_forgotten_with_its_picture(made: Made, files: dict[str, Path]) -> None:
    visit, group = first(made("photos", "drawings", "retouch"))
    visit.bring("x_real", files["photo.png"], "photo.png")
    with pytest.raises(DataError) as caught:
        visit.bring("mask_real", files["small.png"], "small.png")
    assert str(caught.value) == "the input mask has 24 x 16 pixels, and the picture 48 x 32; make them equal"
    visit.bring("mask_real", files["mask.png"], "mask.png")
    visit.bring("x_real", files["small.png"], "small.png")
    assert visit.missing(group) == "mask"


# Painting.


def test_a_painted_mask_is_that_of_a_file(made: Made, files: dict[str, Path]) -> None:
    visit, group = first(made("photos", "drawings", "retouch"))
    visit.bring("x_real", files["photo.png"], "photo.png")
    visit.bring("mask_real", files["mask.png"], "mask.png")
    uploaded, mask = visit.translation(group, "drawings", 1, [Choice()]), visit.shown("mask_real")
    assert np.asarray(strokes(mask))[..., 3].any()
    empty = Image.new("RGBA", mask.size, "black")
    visit.paint("mask_real", group, markup.data_uri(empty))
    assert visit.translation(group, "drawings", 1, [Choice()]).tobytes() == visit.shown("x_real").tobytes()
    visit.paint("mask_real", group, markup.data_uri(mask.convert("RGBA")))
    assert visit.translation(group, "drawings", 1, [Choice()]).tobytes() == uploaded.tobytes()


@pytest.mark.parametrize("sent", ["", "data:image/png;base64,AAAA", markup.data_uri(Image.new("RGB", (9000, 9)))])
def test_a_request_cannot_send_another_thing_as_a_painted_mask(made: Made, files: dict[str, Path], sent: str) -> None:
    visit, group = first(made("photos", "drawings", "retouch"))
    visit.bring("x_real", files["photo.png"], "photo.png")
    with pytest.raises(DataError, match="The painted mask cannot be used: "):
        visit.paint("mask_real", group, sent)
    assert visit.missing(group) == "mask"


# Formats.


def test_label_maps_are_shown_in_the_colours_of_their_classes(made: Made, files: dict[str, Path]) -> None:
    visit, group = first(made("labels", "photos"))
    visit.bring("x_real", files["map.png"], "map.png")
    assert {colour for _, colour in visit.shown("x_real").getcolors()} == {(0, 0, 0), (30, 90, 220)}
    listed = markup.legend(group.main.source.format)
    assert re.findall(r"<b>(\d+)</b> (#\w+)", listed) == [("0", "#000000"), ("1", "#c81e1e"), ("2", "#1e5adc")]
    assert markup.legend(group.main.result.format) == markup.legend(Labels(one_hot=False)) == ""


@pytest.mark.parametrize("name", ["map.tif", "map.npy"])
def test_a_raster_becomes_an_indexed_picture(made: Made, files: dict[str, Path], name: str) -> None:
    model = made("bands", "labels")
    visit, group = first(model)
    visit.bring("x_real", files[name], name)
    assert visit.shown("x_real").size == (24, 16)
    about, contents = downloaded(visit, group, "labels")
    assert about == ("map-labels.png", "image/png", "PNG, 24 × 16")
    with Image.open(io.BytesIO(contents)) as picture:
        assert (picture.mode, picture.size) == ("P", (24, 16))
    x = visit.given["x_real"].x
    torch.testing.assert_close(x, model.sources([files[name]]).x)
    assert -1 <= x.min() < -0.1 and 0.1 < x.max() <= 1


def test_a_raster_is_downloaded_at_its_own_depth(made: Made, files: dict[str, Path]) -> None:
    model = made("photos", "bands")
    visit, group = first(model)
    visit.bring("x_real", files["photo.png"], "photo.png")
    about, contents = downloaded(visit, group, "bands")
    assert about == ("photo-bands.tif", "image/tiff", "TIF, 24 × 16, 4 channels of uint16")
    found = tifffile.imread(io.BytesIO(contents))
    np.testing.assert_allclose(found, model(files["photo.png"]), atol=1)


def downloaded(visit: Visit, group: Group, domain: str) -> tuple[tuple[str, str, str], bytes]:
    """The name, the media type and the description of a download, and its contents."""
    result = visit.translation(group, domain, 1, [Choice()])
    text = markup.translated(visit.shown("x_real"), result, group.main.result.format, domain, visit.name)
    found = re.search(r'download="([^"]+)" href="data:([^;]+);base64,([^"]+)">Download</a> <span>([^<]+)<', text)
    assert found
    name, kind, contents, about = found.groups()
    return (name, kind, about), base64.b64decode(contents)


BAD = {
    ("labels", "photos", "photo.png"): "photo.png cannot be used as a picture: 1,5",
    ("bands", "labels", "map.png"): "map.png cannot be used as a picture: its shape is (32, 48, 1), and it should be",
    ("bands", "labels", "notes.txt"): "notes.txt cannot be used: its name should end in .tif or .tiff or .npy or .png",
    ("bands", "labels", "large.npy"): "large.npy cannot be used as a picture: 20000 x 20000 pixels are more than",
}


@pytest.mark.parametrize("names", BAD)
def test_an_upload_of_another_format_is_told_and_deleted(
    made: Made, files: dict[str, Path], names: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, target, name = names
    uploads = tmp_path / "uploads"
    (uploads / "0a1b").mkdir(parents=True)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    upload = uploads / "0a1b" / name
    if name == "large.npy":
        np.lib.format.open_memmap(upload, "w+", np.uint8, (20000, 20000, 1))
    else:
        upload.write_bytes(files[name].read_bytes() if name in files else b"no")
    visit, _ = first(made(source, target))
    said = controls.received({"path": str(upload), "orig_name": name}, partial(visit.bring, "x_real"))
    assert said.startswith('<p role="alert">' + BAD[names])
    assert visit.given == {}
    assert list(uploads.iterdir()) == []


# The page.


def test_only_styles_with_codes_can_be_blended() -> None:
    small = ("data={use: emoji/drawings, image_size: 32, batch_size: 2, targets: {flat: high_contrast}}",)
    noise = untrained("pix2pix.yaml", *small, "networks.generator={use: classics/unet, levels: 3, width: 4}")
    assert noise.main_use.style == "latent" and not noise.main_use.codes
    assert not shown(noise)["Blend with a second style"]
    assert shown(untrained("munit.yaml", "data.image_size=32"))["Blend with a second style"]


def test_the_page_has_a_control_for_each_input(made: Made) -> None:
    assert shown(made("photos", "drawings", "all"))["Use of the model"]
    labels = shown(made("photos", "drawings", "retouch"))
    assert not labels["Use of the model"]
    assert {"Picture", "Input mask from a file"} <= labels.keys()
    assert "Label map" in shown(made("labels", "photos"))
    parts = page.build(made("bands", "labels")).config["components"]
    (upload,) = (part for part in parts if part["type"] == "file")
    assert upload["props"]["file_types"] == [".tif", ".tiff", ".npy", ".png"]
