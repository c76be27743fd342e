"""Pictures in folders arrive as they are or are refused by name; a sample depends on nothing but its number."""

from __future__ import annotations

import builtins
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2i_core.data import looks as looking
from i2i_core.data.batches import Samples, loader
from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.formats.picture import Picture
from i2i_core.data.pictures import picture_files
from i2i_core.data.sets import SampledRecords
from i2i_core.errors import DataError
from i2i_core.recipe.sections import Data

from .runs import NO_GRIDS, train


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


def picture(
    path: Path,
    colour: tuple[int, ...] = (200, 30, 90),
    size: tuple[int, int] = (24, 20),
    mode: str = "RGB",
    **options: Any,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two domains with three pictures each."""
    for domain in ("cat", "dog"):
        for number in range(3):
            picture(tmp_path / "root" / domain / f"{number}.png", (10 * number, 100, 200))
    return tmp_path / "root"


# What is found


def test_every_format_is_found_in_any_case_and_at_any_depth(tmp_path: Path) -> None:
    root = tmp_path / "root"
    names = ["a.png", "b.jpg", "c.JPEG", "d.WebP", "e.BMP", "f.tif", "g.TIFF", "deep/er/h.PNG", "ein Hund, süß.jpg"]
    for name in names:
        picture(root / "zoo" / name)
    picture(root / "ark" / "one.png")
    found = ImageFolders(root=root)
    assert found.domains == ("ark", "zoo")
    assert {str(p.relative_to(root / "zoo")) for p in found.files[1]} == set(names)
    assert found.count(1) == len(names)
    pictures = [found.record(1, i, ("x",), np.random.default_rng(0))["x"] for i in range(len(names))]
    assert all(picture.mode == "RGB" and picture.size == (24, 20) for picture in pictures)


def test_hidden_files_and_folders_are_neither_pictures_nor_domains(root: Path) -> None:
    for name in (".git/a.png", "cat/.thumb.png", "cat/.cache/a.png"):
        picture(root / name)
    (root / "notes.txt").write_text("no domain")
    (root / "cat" / "notes.txt").write_text("no picture")
    found = ImageFolders(root=root)
    assert found.domains == ("cat", "dog")
    assert found.count(0) == 3


def test_domains_are_the_folders_in_sorted_order_or_those_asked_for(root: Path) -> None:
    picture(root / "Ant" / "a.png")
    assert ImageFolders(root=root).domains == ("Ant", "cat", "dog")
    assert ImageFolders(root=root, domains=["dog", "cat"]).domains == ("dog", "cat")
    with pytest.raises(ValueError, match=f"there is no domain bog in {root}; did you mean dog"):
        ImageFolders(root=root, domains=["bog", "cat"])


def test_links_are_followed_once_and_a_link_to_nothing_is_named(root: Path, tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere" / "far.png")
    (root / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "circle").symlink_to(root / "cat")
    (root / "cat" / "twice.png").symlink_to(root / "cat" / "0.png")
    assert [p.name for p in ImageFolders(root=root).files[0]] == ["0.png", "1.png", "2.png", "far.png", "twice.png"]
    (root / "dog" / "lost.png").symlink_to(root / "nowhere.png")
    with pytest.raises(ValueError, match=r"1 broken picture in .*: dog/lost.png \(a broken symbolic link\)"):
        ImageFolders(root=root)


# What is refused


def refusal(tmp_path: Path, root: Path, *sets: str) -> str:
    """What a training on `root` says before it exits with 3."""
    with pytest.raises(DataError) as refused:
        train(
            tmp_path / "run",
            f"data={{use: image_folders, root: {root}, image_size: 32, batch_size: 2}}",
            *sets,
            "steps=1",
            *NO_GRIDS,
        )
    assert refused.value.exit_code == 3
    return str(refused.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path, tmp_path / "photos")
    assert said.endswith(f": there is no folder {tmp_path}/photos, which should hold one folder of pictures per domain")


def test_a_folder_without_domains_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    assert "holds no folders; put the pictures of each domain into a folder" in refusal(tmp_path, tmp_path / "root")


def test_one_domain_is_not_enough(tmp_path: Path) -> None:
    picture(tmp_path / "root" / "cat" / "a.png")
    assert "image_folders has only the domain cat; add a second one, or write targets: {cat: cat}" in refusal(
        tmp_path, tmp_path / "root"
    )


def test_an_empty_domain_is_named(tmp_path: Path, root: Path) -> None:
    (root / "eel").mkdir()
    assert "domain eel has no pictures; fill it or remove it" in refusal(tmp_path, root)


def test_a_domain_is_called_what_a_file_and_a_terminal_can_bear(tmp_path: Path, root: Path) -> None:
    picture(root / "two\x1b[2J" / "a.png")
    assert (
        r"the domain 'two\x1b[2J' cannot be part of a file's name: it is empty or long, or has a slash or a "
        "control character; rename it"
    ) in refusal(tmp_path, root)


def test_a_domain_whose_bytes_are_no_text_is_refused_before_anything_is_trained(tmp_path: Path, root: Path) -> None:
    try:
        picture(root / "caf\udce9" / "a.png")  # in Latin 1
    except OSError:
        pytest.skip("file names are text here")
    assert r"the domain 'caf\udce9' is no text in UTF-8; rename it" in refusal(tmp_path, root)


def test_held_out_pictures_of_other_domains_are_refused(tmp_path: Path, root: Path) -> None:
    for domain in ("cat", "emu"):
        picture(tmp_path / "val" / domain / "a.png")
    said = refusal(tmp_path, root, f"data.validation={{root: {tmp_path}/val}}")
    assert "the held-out pictures have the domains cat, emu, the training pictures cat, dog" in said


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def spoil(cat: Path) -> dict[str, str]:
    """Broken files and why each is refused."""
    whole = picture(cat / "truncated.jpg", size=(200, 200), quality=95).read_bytes()
    (cat / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    whole = picture(cat / "cut.png", size=(200, 200)).read_bytes()
    (cat / "cut.png").write_bytes(whole[: len(whole) // 2])
    picture(cat / "dot.png", size=(1, 1))
    (cat / "text.jpg").write_text("this is no picture")
    (cat / "nothing.png").write_bytes(b"")
    (cat / "moving.png").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
    (cat / "bomb.png").write_bytes(png_header(20_000, 15_000))
    (cat / "big_bomb.png").write_bytes(png_header(30_000, 30_000))
    return {
        "truncated.jpg": "cut short",
        "cut.png": "",
        "dot.png": "1 x 1 pixels, and each side needs 8",
        "text.jpg": "it is text, not a picture",
        "nothing.png": "it is empty",
        "moving.png": "it is a video, which is not read; convert it, for example to PNG",
        "bomb.png": "20000 x 15000 pixels are more than 250,000,000",
        "big_bomb.png": "30000 x 30000 pixels are more than 250,000,000",
    }


def test_broken_pictures_are_refused_by_name_with_the_reason(tmp_path: Path, root: Path) -> None:
    reasons = spoil(root / "cat")
    said = refusal(tmp_path, root)
    assert f"8 broken pictures in {root}: cat/big_bomb.png (30000 x 30000 pixels are more than 250,000,000)" in said
    assert said.endswith(" and 3 more; repair or remove them, or set broken: skip or repair")
    seen = looking.looks(picture_files(root / "cat"), Picture()).items()
    found = {path.name: look.reason for path, look in seen if look.reason}
    assert found.keys() == reasons.keys()
    assert all(found[name] == reason or not reason for name, reason in reasons.items())
    assert all(found.values())


def test_broken_pictures_are_skipped_with_a_warning_that_names_them(tmp_path: Path, root: Path) -> None:
    (root / "dog" / "text.jpg").write_text("this is no picture")
    picture(root / "cat" / "dot.png", size=(1, 1))
    said: list[str] = []
    data = f"data={{use: image_folders, root: {root}, image_size: 32, batch_size: 2, broken: skip}}"
    run = train(tmp_path / "run", data, "steps=1", *NO_GRIDS, warn=said.append)
    assert said == [
        f"skipped 2 broken pictures in {root}: cat/dot.png (1 x 1 pixels, and each side needs 8), "
        f"dog/text.jpg (it is text, not a picture)"
    ]
    assert [run.data.train.count(y) for y in range(2)] == [3, 3]
    train(tmp_path / "run", "steps=2", resume=True, warn=said.append)
    assert len(said) == 2, "a second training in the same process does not warn"


def test_a_domain_of_nothing_but_broken_pictures_is_empty(tmp_path: Path, root: Path) -> None:
    for path in (root / "dog").iterdir():
        path.write_bytes(b"")
    said = refusal(tmp_path, root, "data.broken=skip")
    assert "domain dog has no pictures" in said


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_disappears_while_training_is_named(tmp_path: Path, root: Path, workers: int) -> None:
    found = ImageFolders(root=root)
    for path in root.rglob("*.png"):
        path.unlink()
    samples = Samples(
        SampledRecords(found, (16, 16)), {"x_real"}, Data(use="", image_size=(16, 16), batch_size=1), seed=0
    )
    with pytest.raises(DataError) as refused:
        next(loader(samples, start=0, steps=1, batch_size=1, rank=0, world=1, workers=workers))
    assert str(refused.value).startswith(f"the picture {root}/")
    assert str(refused.value).count("\n") == 0
    assert ".png cannot be read any more: no such file or directory" in str(refused.value)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("raised", ["SyntaxError", "TypeError", "Image.DecompressionBombError", "struct.error"])
def test_a_picture_that_is_replaced_while_training_is_named_whatever_its_decoder_raises(
    tmp_path: Path, root: Path, workers: int, raised: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ImageFolders(root=root)
    kind = {"Image": Image, "struct": struct}.get(raised.partition(".")[0])
    error: type[Exception] = getattr(kind, raised.partition(".")[2]) if kind else getattr(builtins, raised)

    def decoder(path: Path) -> Image.Image:
        raise error("not\nat all")

    monkeypatch.setattr("i2i_core.data.formats.picture.open_picture", decoder)
    monkeypatch.setattr("i2i_core.data.batches.start_method", lambda: "fork")
    samples = Samples(
        SampledRecords(found, (16, 16)), {"x_real"}, Data(use="", image_size=(16, 16), batch_size=1), seed=0
    )
    with pytest.raises(DataError, match=r"^the picture .*\.png cannot be read any more: not at all$"):
        next(loader(samples, start=0, steps=1, batch_size=1, rank=0, world=1, workers=workers))


# What a picture looks like


def test_a_picture_is_decoded_once_until_it_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    examine = looking.examine

    def counted(path: Path, **how: Any) -> looking.Look:
        decoded.append(str(path.relative_to(root)))
        return examine(path, **how)

    monkeypatch.setattr(looking, "examine", counted)
    ImageFolders(root=root)
    assert len(decoded) == 6
    ImageFolders(root=root)
    assert len(decoded) == 6
    (root / "cat" / "1.png").write_text("spoilt")
    with pytest.raises(ValueError, match="1 broken picture"):
        ImageFolders(root=root)
    assert decoded[6:] == ["cat/1.png"]
    with pytest.warns(UserWarning, match="skipped 1 broken picture in"):
        assert ImageFolders(root=root, min_size=10, broken="skip").count(0) == 2
    assert len(decoded) == 13, "another limit is another verdict"


@pytest.mark.parametrize("cache", ["", "[]", "{", '{"a": 1}'])
def test_a_cache_that_is_spoilt_is_no_obstacle(root: Path, cache: str) -> None:
    ImageFolders(root=root)
    (file,) = Path(os.environ["XDG_CACHE_HOME"]).rglob("*.json")
    file.write_text(cache)
    assert ImageFolders(root=root).count(0) == 3
