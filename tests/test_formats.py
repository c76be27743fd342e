"""Formats keep what files hold: ids stay ids, numbers keep their depth, pictures their colours."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from i2i_core.data.fitting import Layout
from i2i_core.data.formats.labels import Labels, Mask
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Grey, Picture
from i2i_core.data.formats.raster import Raster
from i2i_core.interfaces import Format

RNG = np.random.default_rng(0)
BANDS = Raster(channels=13, range=(0, 10_000))
FORMATS: list[Format] = [
    Picture(),
    Grey(),
    Labels(classes=34),
    Labels(classes=300, ignore=65535),
    Labels(one_hot=False),
    Mask(),
    BANDS,
    Raster(channels=1, range=(-1.5, 2.5), depth="float32"),
    Numbers(names=("Smiling", "Male"), range=(-1, 1)),
]
NAMES = [f"{type(form).__name__}{n}" for n, form in enumerate(FORMATS)]


def round_trip(form: Format, value: Any, size: tuple[int, int], tmp_path: Path, suffix: str) -> Any:
    """Write the decoded value to a file, and read it."""
    x = form.encode(form.fit(value, size)[None], torch.float32)[0]
    path = tmp_path / f"value{suffix}"
    path.write_bytes(form.file(form.decode(x), suffix))
    return form.read(path)


@pytest.mark.parametrize("form", FORMATS, ids=NAMES)
def test_an_example_has_the_shape_and_type_of_what_is_fitted(form: Format) -> None:
    fitted = form.example((6, 8), RNG)
    value = form.decode(form.encode(fitted[None], torch.float64)[0])
    again = form.fit(value, (6, 8))
    assert (again.shape, again.dtype) == (fitted.shape, fitted.dtype)
    torch.testing.assert_close(again, fitted, atol=0.5, rtol=0)  # rasters are rounded to their depth
    low, high = form.limits
    x = form.encode(fitted[None], torch.float32)
    assert low <= float(x.min()) and float(x.max()) <= high
    assert Layout(form, (6, 8)).shape == tuple(x.shape[1:])
    assert form.show(value).mode == "RGB"


@pytest.mark.parametrize(("classes", "kind"), [(34, np.uint8), (256, np.uint8), (1000, np.uint16)])
def test_all_ids_of_a_label_map_survive(tmp_path: Path, classes: int, kind: type) -> None:
    ids = RNG.integers(classes, size=(12, 16)).astype(kind)
    Image.fromarray(ids).save(tmp_path / "ids.png")
    form = Labels(classes=classes)
    value = form.read(tmp_path / "ids.png")
    assert (np.asarray(round_trip(form, value, (12, 16), tmp_path, ".png")) == ids).all()
    x = form.encode(form.fit(value, (12, 16))[None], torch.float64)[0]
    assert x.shape == (classes, 12, 16) and x.sum(0).eq(1).all()
    assert (x.argmax(0).numpy() == ids).all()


def test_labels_are_resized_to_labels_that_were_there(tmp_path: Path) -> None:
    ids = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4), 24, 0), 24, 1)
    value = Labels(classes=16).converted(Image.fromarray(ids))
    small = Labels(classes=16).fit(value, (4, 4))
    assert small[0].tolist() == np.arange(16).reshape(4, 4).tolist()
    corner = Labels(classes=16).fit(value, (2, 2), (0.5, 0.5, 1.0, 1.0), flip=True)
    assert corner[0].tolist() == [[11, 10], [15, 14]]
    resized = Labels(classes=16).resize(torch.from_numpy(ids[None, None]), (4, 4))
    assert resized[0, 0].tolist() == small[0].tolist()


def test_ids_are_indices_of_a_palette_and_colours_are_looked_up(tmp_path: Path) -> None:
    palette = ((128, 64, 128), (244, 35, 232), (70, 70, 70))
    ids = RNG.integers(3, size=(8, 8)).astype(np.uint8)
    indexed = Image.fromarray(ids, "L")
    indexed.putpalette(bytes(range(256)) * 3)
    indexed.save(tmp_path / "indexed.png")
    Image.fromarray(np.array(palette, np.uint8)[ids]).save(tmp_path / "colours.png")
    form = Labels(classes=3, palette=palette)
    for name in ("indexed", "colours"):
        assert (np.asarray(form.read(tmp_path / f"{name}.png")) == ids).all(), name
    assert (np.asarray(form.show(form.read(tmp_path / "indexed.png"))) == np.array(palette)[ids]).all()


def test_pixels_without_a_class_have_no_channel(tmp_path: Path) -> None:
    ids = np.array([[0, 1], [255, 2]], np.uint8)
    form = Labels(classes=3, ignore=255)
    x = form.encode(form.fit(form.converted(Image.fromarray(ids)), (2, 2))[None], torch.float32)[0]
    assert x.sum(0).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("form", "array", "said"),
    [
        (Labels(classes=3), np.array([[0, 3], [9, 1]], np.uint8), "2 pixels have ids beyond the 3 classes 0 to 2, for"),
        (Labels(classes=3), np.zeros((2, 2, 3), np.uint8), "it is a picture of mode RGB, and class ids are grey or"),
        (
            Labels(classes=1, palette=((0, 0, 0),)),
            np.full((2, 2, 3), 7, np.uint8),
            "4 pixels have colours that the palette lacks: #070707",
        ),
    ],
)
def test_ids_that_are_no_classes_are_counted(tmp_path: Path, form: Labels, array: Any, said: str) -> None:
    Image.fromarray(array).save(tmp_path / "ids.png")
    with pytest.raises(ValueError, match=f"^{said}"):
        form.read(tmp_path / "ids.png")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize(
    ("depth", "span"),
    [
        ("uint8", (0, 255)),
        ("uint16", (0, 10_000)),
        ("uint16", (0, 65535)),
        ("int16", (-500, 9000)),
        ("float32", (-1, 3)),
    ],
)
def test_numbers_of_a_raster_survive_at_their_depth(
    tmp_path: Path, depth: Any, span: Any, suffix: str, channels: int
) -> None:
    form = Raster(channels=channels, range=span, depth=depth)
    numbers = RNG.uniform(*span, size=(8, 10, channels))
    numbers = (numbers if depth == "float32" else numbers.round()).astype(depth)
    found = round_trip(form, numbers, (8, 10), tmp_path, suffix)
    assert (found.shape, found.dtype) == ((8, 10, channels), np.dtype(depth))
    if depth == "float32":
        np.testing.assert_allclose(found, numbers, atol=1e-6)
    else:
        assert (found == numbers).all()


@pytest.mark.parametrize("layout", ["last", "first", "pages"])
def test_tiff_channels_are_found_wherever_they_are(tmp_path: Path, layout: str) -> None:
    numbers = RNG.integers(10_000, size=(8, 10, 13)).astype(np.uint16)
    path, first = tmp_path / "bands.tif", numbers.transpose(2, 0, 1)
    if layout == "last":
        tifffile.imwrite(path, numbers, photometric="minisblack", planarconfig="contig")
    elif layout == "first":
        tifffile.imwrite(path, first, photometric="minisblack", planarconfig="separate")
    else:
        tifffile.imwrite(path, first, photometric="minisblack")
    assert (BANDS.read(path) == numbers).all()


def test_grey_pngs_of_16_bits_are_rasters_of_one_channel(tmp_path: Path) -> None:
    numbers = RNG.integers(65535, size=(8, 8)).astype(np.uint16)
    Image.fromarray(numbers).save(tmp_path / "depth.png")
    form = Raster(channels=1, range=(0, 65535))
    value = form.read(tmp_path / "depth.png")
    assert (value[..., 0] == numbers).all()
    assert (round_trip(form, value, (8, 8), tmp_path, ".png")[..., 0] == numbers).all()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 4, 3), np.uint16), r"its shape is \(4, 4, 3\), and it should be \(height, width, 13\)"),
        (
            np.full((2, 2, 13), 10_001, np.uint16),
            r"52 numbers are not in the range 0 to 10000 \(least 10001, greatest 10001\); correct them or the",
        ),
        (np.full((1, 1, 13), np.nan, np.float32), r"13 numbers are not in the range 0 to 10000 \(13 of them NaN\)"),
        (np.zeros((13, 4, 4)), r"its shape is \(13, 4, 4\), and it should be"),
        (np.zeros((0, 4, 13)), r"its shape is \(0, 4, 13\), and it should be"),
        (np.zeros((4, 4, 13), np.complex64), "its numbers have the type complex64; save whole numbers or floats"),
    ],
)
def test_other_channels_and_numbers_are_refused(tmp_path: Path, array: Any, said: str) -> None:
    np.save(tmp_path / "bands.npy", array)
    with pytest.raises(ValueError, match=said):
        BANDS.read(tmp_path / "bands.npy")
    if array.size and array.shape[2] == 13 and array.dtype.kind != "c":
        clipped = Raster(channels=13, range=(0, 10_000), clip=True).read(tmp_path / "bands.npy")
        assert clipped.min() >= 0 and clipped.max() <= 10_000


def test_a_crop_of_a_raster_is_that_of_a_picture_up_to_a_pixel() -> None:
    numbers = RNG.integers(256, size=(20, 20, 3)).astype(np.uint8)
    form = Raster(channels=3, range=(0, 255), depth="uint8")
    for flip in (False, True):
        ours = form.fit(numbers, (10, 10), (0.25, 0.5, 0.75, 1.0), flip)
        assert (ours == Picture().fit(Image.fromarray(numbers), (10, 10), (0.25, 0.5, 0.75, 1.0), flip)).all()
    whole = form.fit(numbers, (5, 10))
    assert (whole - Picture().fit(Image.fromarray(numbers), (5, 10)).float()).abs().max() <= 1


@pytest.mark.parametrize("levels", [(0, 1), (0, 255), (3, 200)])
def test_masks_are_zeros_and_ones_whatever_the_levels_of_their_files(tmp_path: Path, levels: tuple[int, int]) -> None:
    hole = RNG.integers(2, size=(6, 6))
    Image.fromarray(np.array(levels, np.uint8)[hole]).save(tmp_path / "hole.png")
    form = Mask()
    x = form.encode(form.fit(form.read(tmp_path / "hole.png"), (6, 6))[None], torch.float32)
    assert (x[0, 0].numpy() == hole).all()
    again = round_trip(form, form.read(tmp_path / "hole.png"), (6, 6), tmp_path, ".png")
    assert (np.asarray(again) == 255 * hole).all()


def write_png(path: Path, rows: bytes, bits: int, kind: int) -> None:
    """Write a PNG of 8 x 8 pixels as Pillow cannot. rows: the bits of each row. kind: 0 for grey, 2 for colours."""
    length = len(rows) // 8
    lines = b"".join(b"\0" + rows[n * length : (n + 1) * length] for n in range(8))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 8, 8, bits, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


@pytest.mark.parametrize("bits", [2, 4])
def test_levels_of_grey_files_of_few_bits_are_those_of_the_file(tmp_path: Path, bits: int) -> None:
    ids = RNG.integers(2**bits, size=(8, 8)).astype(np.uint8)
    packed = np.packbits(np.unpackbits(ids[..., None], axis=2)[..., 8 - bits :].reshape(8, -1), axis=1)
    write_png(tmp_path / "ids.png", packed.tobytes(), bits, 0)
    assert (np.asarray(Labels(classes=256).read(tmp_path / "ids.png")) == ids).all()
    assert (Raster(channels=1, range=(0, 255)).read(tmp_path / "ids.png")[..., 0] == ids).all()


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_are_rasters_with_all_their_bits(tmp_path: Path, channels: int) -> None:
    stored = RNG.bytes(8 * 8 * channels * 2)
    write_png(tmp_path / "colours.png", stored, 16, {3: 2, 4: 6}[channels])
    found = Raster(channels=channels, range=(0, 65535)).read(tmp_path / "colours.png")
    assert (found == np.frombuffer(stored, ">u2").reshape(8, 8, channels)).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.tif", "not a PNG, JPEG, WEBP, BMP, TIFF, GIF, AVIF or HEIC"), ("a.npy", "not a NumPy array of one .npy")],
)
def test_a_raster_of_another_kind_than_its_name_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG and more")
    with pytest.raises(ValueError, match=f"^{said}$"):
        BANDS.read(tmp_path / name)


def test_a_tiff_of_many_bands_is_no_picture_and_the_message_names_the_format(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((8, 8, 13), np.uint16), photometric="minisblack", planarconfig="contig"
    )
    with pytest.raises(ValueError, match="^a TIFF of 13 x 16-bit, which is no picture; the format raster reads it$"):
        Picture().read(tmp_path / "a.tif")


def test_a_label_map_has_one_page(tmp_path: Path) -> None:
    pages = [Image.new("L", size) for size in ((8, 8), (8, 8), (4, 4))]
    pages[0].save(tmp_path / "several.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "overview.tif", save_all=True, append_images=pages[2:])
    with pytest.raises(ValueError, match="it has several pages; save one in each file"):
        Labels(classes=2).read(tmp_path / "several.tif")
    assert Labels(classes=2).read(tmp_path / "overview.tif").size == (8, 8)


def test_fractions_of_a_small_range_survive_without_a_depth() -> None:
    form = Raster(channels=1, range=(0, 1))
    assert form.depth == "float32"
    np.testing.assert_allclose(form.decode(torch.full((1, 2, 2), -0.4)), 0.3, atol=1e-6)
    assert Raster(channels=1, range=(0, 255)).depth == "uint16"


def test_numbers_are_scaled_read_from_texts_and_written() -> None:
    form = Numbers(names=("Smiling", "Male"), range=(-1, 1))
    value = form.parse("Male=-1, Smiling=0.5")
    assert form.encode(form.fit(value, (1, 1))[None], torch.float64).tolist() == [[0.75, 0.0]]
    assert json.loads(form.file(value, ".json")) == {"Smiling": 0.5, "Male": -1.0}
    assert form.decode(torch.tensor([0.75, 2.0])) == {"Smiling": 0.5, "Male": 1.0}
    for text, said in (
        ("Smile=1,Male=0", "there is no number Smile (did you mean Smiling?)"),
        ("Male=0", "the number Smiling is missing; name all of Smiling, Male"),
        ("Smiling=2,Male=0", "Smiling is 2, which is not in the range -1 to 1"),
        ("Smiling", "'Smiling' should be written as Smiling=NUMBER,Male=NUMBER"),
        ("Male=1,Smiling=1,Male=0", "'Male=1,Smiling=1,Male=0' should be written as Smiling=NUMBER,Male=NUMBER"),
    ):
        with pytest.raises(ValueError) as error:
            form.parse(text)
        assert str(error.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "it should be a mapping from a to numbers"),
        ('{"a": "1"}', "a is '1', which is not a number"),
        ('{"a": 1', "not JSON: "),
        ("\xff", "not JSON: "),
    ],
)
def test_json_of_other_values_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        Numbers(names=("a",)).read(tmp_path / "a.json")


def test_a_file_that_would_change_ids_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "ids.jpg")
    with pytest.raises(ValueError, match="a JPEG has changed the ids of its pixels; save label maps as .png"):
        Labels(classes=2).read(tmp_path / "ids.jpg")
    many = Labels(one_hot=False)
    with pytest.raises(ValueError, match="a .png cannot hold ids beyond 65535; name a .tif"):
        many.file(many.decode(torch.full((1, 2, 2), 70_000.0)), ".png")
    with pytest.raises(ValueError, match="a .bmp cannot hold ids beyond 255; name a .tif"):
        many.file(many.decode(torch.full((1, 2, 2), 300.0)), ".bmp")
    with pytest.raises(ValueError, match="a .jpg would change ids; name a .png"):
        Labels(classes=2).file(Image.new("P", (2, 2)), ".jpg")
    with pytest.raises(ValueError, match="a .png cannot hold 13 channels of uint16; name a .tif or .npy"):
        BANDS.file(np.zeros((2, 2, 13), np.uint16), ".png")


def test_masks_in_other_files_are_those_of_their_pixels() -> None:
    hole = RNG.integers(2, size=(6, 6)).astype(np.uint8)
    swapped, dark = Image.fromarray(1 - hole, "L"), Image.fromarray(hole, "L")
    swapped.putpalette([255, 255, 255, 0, 0, 0])
    dark.putpalette([0, 0, 0, 128, 0, 0])
    files = [swapped, dark, *(Image.fromarray(level * hole.astype(np.uint16)) for level in (1, 255, 65535))]
    for file in files:
        assert (np.asarray(Mask().converted(file)) == 255 * hole).all(), file
    with pytest.raises(ValueError, match="its levels end at 5; a mask has 0 and 1, or 0 and 255"):
        Mask().converted(Image.fromarray(5 * hole))  # class ids, which would all be 0
    with pytest.raises(ValueError, match="it has colours; a mask is black and white"):
        Mask().converted(Image.new("RGB", (4, 4), "red"))


def test_large_ids_are_resized_exactly() -> None:
    ids = torch.full((1, 1, 4, 4), 2**24 + 1, dtype=torch.int32)
    assert Labels(one_hot=False).resize(ids, (2, 2)).unique().tolist() == [2**24 + 1]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Labels(), "one-hot labels need the number of classes; write classes: N, or one_hot: false for ids"),
        (lambda: Labels(classes=2, palette=((0, 0, 0),)), "the palette has 1 colours for 2 classes"),
        (lambda: Raster(channels=1, range=(1, 1)), "the range 1 to 1 is empty; write the smaller number first"),
        (lambda: Labels(classes=2, ignore=1), "ignore is 1, which is one of the 2 classes; name an id beyond"),
        (
            lambda: Labels(classes=2, palette=((1, 2, 3),) * 2),
            "the palette has the colour [1, 2, 3] twice; each class needs its own",
        ),
        (lambda: Raster(channels=1, range=(0, float("inf"))), "the range 0 to inf is not finite; write numbers"),
        (lambda: Numbers(names=("a",), range=(0, float("inf"))), "the range 0 to inf is not finite; write numbers"),
        (
            lambda: Raster(channels=1, range=(0, 0.5), depth="uint8"),
            "uint8 cannot hold the range 0 to 0.5; choose another depth",
        ),
        (
            lambda: Raster(channels=1, range=(-1, 1), depth="uint16"),
            "uint16 cannot hold the range -1 to 1; choose another depth",
        ),
        (
            lambda: Raster(channels=2, range=(0, 1), shown=(0, 1)),
            "shown names 2 channels; name one, or three for red, green and blue",
        ),
        (lambda: Raster(channels=2, range=(0, 1), shown=(2,)), "shown names 2; the channels are 0 to 1"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == said


def test_a_picture_of_one_channel_is_a_grey_file() -> None:
    value = Grey().decode(torch.zeros(1, 4, 4))
    assert (value.mode, Grey().show(value).mode) == ("L", "RGB")
    with Image.open(io.BytesIO(Grey().file(value, ".png"))) as file:
        assert file.mode == "L"
