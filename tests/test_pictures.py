"""Picture files: every format, depth and colour model becomes RGB, and what cannot be read is told."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.opening import opened
from i2i_core.data.decoding.files import decode_numbers, open_picture
from i2i_core.data.decoding.profiles import SRGB, matrix_profile
from i2i_core.data.decoding.repairs import repaired
from i2i_core.data.formats.picture import Picture
from i2i_core.data.pictures import find_pictures, picture_files
from i2i_core.errors import DataError

from .bmp_kinds import bmp, bmp_rows, run_lengths
from .tiff_kinds import packed


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


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_grey_profile_holds_with_and_without_transparency(tmp_path: Path, suffix: str) -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    clear = Image.merge("LA", [grey, Image.new("L", grey.size, 255)])
    for name, made in (("grey", grey), ("clear", clear)):
        made.save(tmp_path / f"{name}{suffix}", icc_profile=linear_grey())
    found = pixels(tmp_path / f"clear{suffix}")
    assert (found == pixels(tmp_path / f"grey{suffix}")).all() and found[8, 0, 0] > 180


def linear_grey() -> bytes:
    """Return a profile of grey whose levels are proportional to light."""
    rgb = bytearray(matrix_profile(SRGB, (1.0,)) or b"")
    rgb[16:20] = b"GRAY"
    return bytes(rgb).replace(b"rTRC", b"kTRC")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("exif", [b"junkjunk", b"II*\0", b""])
def test_damaged_exif_data_does_not_spoil_a_picture(tmp_path: Path, suffix: str, exif: bytes) -> None:
    path = picture(tmp_path / f"a{suffix}", exif=b"Exif\0\0" + exif, quality=95)
    assert np.abs(pixels(path).astype(int) - (200, 30, 90)).max() < 5


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("colours", [[0, 255], [255, 0], [10, 250], [*range(16)]], ids=len)
def test_grey_palettes_of_bmps(tmp_path: Path, bits: int, runs: bool, colours: list[int]) -> None:
    places = np.random.default_rng(0).integers(len(colours), size=(20, 30), dtype=np.uint8)
    quads = b"".join(bytes([level] * 3) + b"\0" for level in colours)
    rows = [packed(row[None].astype(np.uint64), bits, "<", "u") for row in places]
    body, coding = (run_lengths(places, bits), 2 if bits == 4 else 1) if runs else (bmp_rows(rows), 0)
    file = bytearray(bmp(30, 20, bits, body, compression=coding, palette=quads))
    file[46:50] = len(colours).to_bytes(4, "little")  # used colours
    (tmp_path / "a.bmp").write_bytes(file)
    assert (pixels(tmp_path / "a.bmp") == np.array(colours)[places][..., None]).all()
    assert (np.asarray(decode_numbers(tmp_path / "a.bmp")) == places).all()


@pytest.mark.parametrize("compression", [None, "zstd"])  # the second one is decoded by tifffile
def test_the_palette_of_a_tiff_may_end_at_255(tmp_path: Path, compression: str | None) -> None:
    rng = np.random.default_rng(0)
    palette, places = rng.integers(256, size=(3, 256)).astype(np.uint16), rng.integers(256, size=(20, 30))
    for name, of in (("low", palette), ("right", palette * 257)):
        tifffile.imwrite(
            tmp_path / f"{name}.tif",
            places.astype(np.uint8),
            photometric="palette",
            colormap=of,
            compression=compression,
        )
        assert (pixels(tmp_path / f"{name}.tif") == palette.T[places]).all()


@pytest.mark.parametrize("orientation", [6, 8])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_an_uncompressed_grey_tiff_is_turned(tmp_path: Path, depth: type, orientation: int) -> None:
    levels = np.random.default_rng(0).integers(256, size=(20, 30)).astype(np.uint8)
    stored = levels.astype(depth) * (257 if depth is np.uint16 else 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[(274, 3, 1, orientation, True)])
    assert (pixels(tmp_path / "a.tif")[..., 0] == np.rot90(levels, {6: -1, 8: 1}[orientation])).all()


def test_a_tiff_of_billions_of_samples_takes_no_memory(tmp_path: Path) -> None:
    tags = [(256, 8), (257, 8), (258, 8), (262, 1), (273, 100), (277, 2_000_000_000), (279, 64)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(file.ljust(200, b"\0"))
    with pytest.raises(ValueError, match="a damaged TIFF"):
        open_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(("offset", "bits"), [(5_000_000, 24), (54, 60_000)])
def test_a_bmp_whose_header_lies_is_not_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int, bits: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    head = struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, offset, 40, 16, 16, 1, bits, 0, 0, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(b"BM" + head + bytes(50))
    assert repaired(tmp_path / "a.bmp") is None


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


def test_a_link_to_a_folder_above_is_not_followed(tmp_path: Path) -> None:
    for name in ("set/cat/a.png", "set/dog/b.png", "other/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "set/cat/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/cat/over").symlink_to(tmp_path / "other")
    assert {*find_pictures([str(tmp_path / "set/cat")]).values()} == {Path("a.png"), Path("over/c.png")}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png cannot be used as a picture: not a regular file"):
        opened(tmp_path / "a.png", Picture())


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
