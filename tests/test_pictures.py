"""Picture files: every format, depth and colour model becomes RGB, and what cannot be read is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2i_core.data.decoding import open_picture
from i2i_core.data.pictures import find_pictures, picture_files
from i2i_core.errors import DataError


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


def pixels(path: Path) -> np.ndarray[Any, Any]:
    opened = open_picture(path)
    assert opened.mode == "RGB"
    return np.asarray(opened)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / f"grey{suffix}")
    expected = (values / 257).round().astype(np.uint8)
    assert (pixels(tmp_path / f"grey{suffix}") == expected[..., None]).all()


def test_8_bit_grey_and_1_bit_are_grey(tmp_path: Path) -> None:
    assert (pixels(picture(tmp_path / "l.png", 77, mode="L")) == 77).all()
    assert (pixels(picture(tmp_path / "one.png", 1, mode="1")) == 255).all()


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    assert (pixels(picture(tmp_path / "clear.png", (200, 0, 0, 0), mode="RGBA")) == 255).all()
    assert (pixels(picture(tmp_path / "half.png", (200, 0, 0, 128), mode="RGBA"))[0, 0] == (227, 127, 127)).all()
    assert (pixels(picture(tmp_path / "grey.png", (0, 0), mode="LA")) == 255).all()
    assert (pixels(picture(tmp_path / "lossless.webp", (0, 0, 0, 0), mode="RGBA", lossless=True)) == 255).all()


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "x.png")
    scandir = os.scandir

    def denied(path: str) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", denied)  # nothing is denied to root
    with pytest.raises(DataError) as error:
        picture_files(tmp_path)
    assert str(error.value) == f"the folder {tmp_path / 'a' / 'b'} cannot be read: permission denied"


def test_sixteen_bits_of_grey_with_a_transparent_one_and_numbers_that_are_none(tmp_path: Path) -> None:
    grey = np.full((8, 8), 1000, np.uint16)
    grey[4:] = 30000
    Image.fromarray(grey).save(tmp_path / "g.png", transparency=1000)
    shades = np.asarray(open_picture(tmp_path / "g.png"))
    assert set(shades[:4].flat) == {255} and set(shades[4:].flat) == {117}
    floats = np.full((8, 8), 0.5, np.float32)
    floats[0, 0], floats[0, 1] = np.nan, np.inf
    Image.fromarray(floats).save(tmp_path / "f.tiff")
    shades = np.asarray(open_picture(tmp_path / "f.tiff"))
    assert set(shades[0, :2].flat) == {0} and set(shades[1:].flat) == {128}


def test_a_palette_with_a_transparent_colour_is_white_there(tmp_path: Path) -> None:
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((3, 4), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    found = pixels(tmp_path / "p.png")
    assert (found[0, 0] == 255).all()
    assert (found[4, 3] == (200, 100, 50)).all()


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    red = pixels(picture(tmp_path / "red.jpg", (0, 255, 255, 0), mode="CMYK", quality=100))
    assert np.abs(red[0, 0].astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, 23)), (3, (19, 23)), (4, (19, 0)), (5, (0, 0)), (6, (0, 19)), (7, (23, 19)), (8, (23, 0))],
)
def test_pictures_are_turned_as_their_exif_data_says(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    """A mark in the stored picture's top left corner ends where EXIF 0x0112 puts it."""
    stored = Image.new("RGB", (24, 20), "white")
    stored.putpixel((0, 0), (0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    found = pixels(tmp_path / "turned.png")
    assert found.shape == ((20, 24, 3) if orientation < 5 else (24, 20, 3))
    assert [tuple(map(int, at)) for at in np.argwhere(found[..., 0] == 0)] == [corner]


# The cache of what was decoded


def test_what_systems_put_beside_pictures_is_not_found(tmp_path: Path) -> None:
    for name in ("a.png", "@eaDir/a.png/thumb.png", "more/__MACOSX/b.png", "more/c.png", ".hidden/d.png", "e.psd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = {Path("a.png"), Path("more/c.png")}
    assert {*find_pictures([str(tmp_path)]).values()} == found
    assert {*find_pictures([f"{tmp_path}/**/*.png"]).values()} == found
    assert {*find_pictures([f"{tmp_path}/*"]).values()} == found
    with pytest.raises(DataError, match=r"no pictures that can be read in .*: 1 \.psd; known are \.avif"):
        find_pictures([f"{tmp_path}/*.psd"])
