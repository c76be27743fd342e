"""Files of every kind are read rightly, or refused with the true reason."""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, features

from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.decoding import colours, files, tiffs
from i2i_core.data.decoding.files import open_picture, why_broken
from i2i_core.data.formats.labels import Labels, Mask
from i2i_core.data.formats.picture import Grey, Picture
from i2i_core.data.formats.raster import Raster
from i2i_core.data.looks import looks
from i2i_core.data.pictures import READ_ONLY, check_suffix, find_pictures, is_one_file
from i2i_core.errors import UsageError

from .picture_kinds import MAKERS, P3, chunk, made_by, outcome, place, png, profiles, smooth, table, texts
from .tiff_kinds import Made, damaged_tiffs, eight, levels, rgb, saved, tiff, unit

Maker = Callable[[], Iterator[Made]]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_files_are_right_or_refused_with_the_true_reason(tmp_path: Path, maker: Maker) -> None:
    found = {made.name: outcome(made, tmp_path) for made in made_by(maker)}
    assert {name: said for name, (how, said) in found.items() if how == "wrong"} == {}
    assert len(found) == len(made_by(maker)), "each file has its own name"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_the_table_of_the_docs_is_what_was_measured() -> None:
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    for kind, right, refused, wrong in table():
        assert f"| {kind} | {right} | {refused} | {wrong} |" in page and wrong == 0


OTHERWISE = re.compile(
    r"50000|lzma|zstd|jpeg2000|jpegxl|png\.tif|"  # compressions that libvips leaves black
    r"(grey|rgb)32|float|predictor3|"  # numbers that it does not scale
    r"unspecified|(alpha|associated)\d+.True1|"  # samples that it takes for an alpha channel, or the other way round
    r"alpha16|png6-16|16(True|False).tif|"  # two roundings, of colours and of the alpha channel or the profile
    r"ycbcr[<>]|cmyk|ycck|"  # without a profile, it has its own
    r"gamma-(linear|mac)(-grey)?.png|primaries|cicp|nclx|text-(exif|xmp|longxmp|profile-16)"  # what it ignores
)
"""The names of files that libvips reads otherwise."""


@pytest.mark.skipif(find_spec("pyvips") is None, reason="pyvips is not installed")
def test_a_second_reader_sees_the_same_pictures(tmp_path: Path) -> None:
    files = [made for maker in MAKERS for made in made_by(maker) if made.pixels is not None]
    files = [made for made in files if not OTHERWISE.search(made.name)]
    ours = {(path := place(made, tmp_path)).name: (made, np.asarray(open_picture(path)).astype(int)) for made in files}
    _read_again(tmp_path)
    compared = 0
    for name, (made, found) in ours.items():
        if (theirs := tmp_path / f"{name}.npy").exists():
            off = np.abs(found - np.load(theirs))
            assert float(off.mean() if made.lossy else off.max()) <= max(made.off, 1) + 1, name
            compared += 1
    assert compared > 280


@pytest.mark.skipif(find_spec("pyvips") is None, reason="pyvips is not installed")
def test_profiles_of_inks_are_converted_as_a_second_reader_does(tmp_path: Path) -> None:
    inks = smooth(4)
    picture = Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes())
    picture.save(tmp_path / "plain.tif")
    _read_again(tmp_path, "cmyk")
    profile = (tmp_path / "profile.icc").read_bytes()
    expected = np.load(tmp_path / "plain.tif.npy").astype(int)
    picture.save(tmp_path / "inks.tif", icc_profile=profile)
    picture.save(tmp_path / "inks.jpg", icc_profile=profile, quality=98)
    for name, off in (("inks.tif", 1), ("inks.jpg", 2)):
        assert np.abs(np.asarray(open_picture(tmp_path / name)) - expected).mean() < off, name
    plain = np.asarray(open_picture(tmp_path / "plain.tif"))
    assert np.abs(plain - expected).mean() > 10, "without a profile, colours are those of a formula"


def _read_again(folder: Path, *profile: str) -> None:
    subprocess.run([sys.executable, Path(__file__).with_name("second_reader.py"), folder, *profile], check=True)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [1, 8, 10, 12, 14, 16, 32])
def test_a_raster_keeps_all_numbers_of_a_tiff(tmp_path: Path, bits: int, planar: bool, order: str) -> None:
    for channels in (1, 3, 5):
        numbers = levels(bits, channels)
        for model in (0, 1) if channels == 1 else (1,):
            extra = [0] * (channels - 1)
            for compression in (1, 5, 8):
                file = tiff(numbers, bits, model, order=order, planar=planar, extra=extra, compression=compression)
                (tmp_path / "a.tif").write_bytes(file)
                found = Raster(channels=channels, range=(0, 2**bits - 1), depth="float32").read(tmp_path / "a.tif")
                assert (found == numbers).all(), (channels, model, compression)


@pytest.mark.parametrize("order", "<>")
def test_a_raster_keeps_signed_numbers_floats_and_what_is_upright(tmp_path: Path, order: str) -> None:
    heights = levels(16, 1).astype(np.int64) - 32_768
    for orientation in range(1, 9):
        file = tiff(heights, 16, 1, numeric="i", order=order, compression=8, orientation=orientation)
        (tmp_path / "a.tif").write_bytes(file)
        found = Raster(channels=1, range=(-32768, 32767)).read(tmp_path / "a.tif")
        picture = Image.fromarray(heights[..., 0].astype(np.int32))
        picture.getexif()[274] = orientation
        assert (found[..., 0] == np.asarray(ImageOps.exif_transpose(picture))).all()
    floats = (unit(2) * 3000 - 1000).astype(np.float32)
    (tmp_path / "f.tif").write_bytes(tiff(floats, 32, 1, numeric="f", order=order, extra=[0], compression=8))
    assert (Raster(channels=2, range=(-1000, 2000)).read(tmp_path / "f.tif") == floats).all()


def test_a_raster_refuses_the_same_damaged_tiffs(tmp_path: Path) -> None:
    for made in damaged_tiffs():
        with pytest.raises(ValueError, match=f"^{made.reason}"):
            Raster(channels=3, range=(0, 65535)).read(place(made, tmp_path))
    file = tmp_path / "pages.tif"
    tifffile.imwrite(
        file, levels(16, 3).astype(np.uint16).transpose(2, 0, 1), photometric="minisblack", compression="zlib"
    )
    assert Raster(channels=3, range=(0, 65535)).read(file).shape == (21, 27, 3)
    with tifffile.TiffFile(file) as whole:
        at = whole.pages[2].tags["StripByteCounts"].valueoffset
    contents = bytearray(file.read_bytes())
    contents[at : at + 4] = bytes(4)
    file.write_bytes(contents)
    with pytest.raises(ValueError, match="^1 of its 1 strips or tiles are empty: "):
        Raster(channels=3, range=(0, 65535)).read(file)


@pytest.mark.parametrize("order", "<>")
def test_ids_and_masks_are_read_from_tiffs_of_any_depth(tmp_path: Path, order: str) -> None:
    for bits in (1, 2, 4, 8, 10, 12, 16, 32):
        ids = levels(min(bits, 20), 1)
        for compression in (1, 8):
            (tmp_path / "ids.tif").write_bytes(tiff(ids, bits, 1, order=order, compression=compression))
            found = np.asarray(Labels(one_hot=False).read(tmp_path / "ids.tif"))
            assert (found == ids[..., 0]).all(), (bits, compression)
    for bits, model in ((1, 0), (1, 1), (8, 0), (8, 1), (16, 0), (16, 1)):
        ones = np.zeros((21, 27, 1), np.uint64)
        ones[5:9] = 2**bits - 1
        stored = ones if model else 2**bits - 1 - ones
        (tmp_path / "mask.tif").write_bytes(tiff(stored, bits, model, order=order))
        assert (np.asarray(Mask().read(tmp_path / "mask.tif")) == (ones[..., 0] > 0) * 255).all(), (bits, model)
    (tmp_path / "f.tif").write_bytes(tiff(unit(1), 64, 1, numeric="f"))
    with pytest.raises(ValueError, match="^a TIFF of 64-bit float, and its pixels should be whole numbers of one chan"):
        Labels(one_hot=False).read(tmp_path / "f.tif")


def test_profiles_change_no_ids_and_no_numbers(tmp_path: Path) -> None:
    palette = ((128, 64, 128), (244, 35, 232), (70, 70, 70))
    ids = np.random.default_rng(0).integers(3, size=(8, 8))
    Image.fromarray(np.array(palette, np.uint8)[ids]).save(tmp_path / "a.png", icc_profile=P3)
    assert (np.asarray(Labels(classes=3, palette=palette).read(tmp_path / "a.png")) == ids).all()
    numbers = Raster(channels=3, range=(0, 255)).read(tmp_path / "a.png")
    assert (numbers == np.array(palette)[ids]).all()
    assert (np.asarray(Picture().read(tmp_path / "a.png")) != numbers).any()


def test_a_profile_of_a_pil_image_counts_once(tmp_path: Path) -> None:
    Image.fromarray(eight(unit(3), 1.0)).save(tmp_path / "a.png", icc_profile=P3)
    with Image.open(tmp_path / "a.png") as picture:
        once = Picture().converted(picture)
    assert (np.asarray(once) == np.asarray(open_picture(tmp_path / "a.png"))).all()
    assert Picture().converted(once) is once
    assert Grey().read(tmp_path / "a.png").mode == "L"


def test_texts_of_a_png_are_unpacked_in_bounded_memory(tmp_path: Path) -> None:
    for made in (made for made in made_by(texts) if "bomb" in made.name):
        path = place(made, tmp_path)
        tracemalloc.start()
        open_picture(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40e6, f"{made.name}: {peak:,}"


def test_a_transform_is_made_once_and_none_for_srgb(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(smooth())
    for name, profile in (("srgb", srgb), ("p3", P3)):
        picture.save(tmp_path / f"{name}.png", icc_profile=profile)
    colours._transform.cache_clear()
    for _ in range(3):
        assert (np.asarray(open_picture(tmp_path / "srgb.png")) == smooth()).all()
        open_picture(tmp_path / "p3.png")
    assert (colours._transform.cache_info().misses, colours._transform.cache_info().hits) == (2, 4)


def test_pictures_are_read_without_littlecms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png", icc_profile=P3)
    monkeypatch.setattr(colours, "ImageCms", None)
    assert (np.asarray(open_picture(tmp_path / "a.png")) == smooth()).all()


def test_threads_read_the_same_as_one(tmp_path: Path) -> None:
    files = [made for made in made_by(profiles) if made.pixels is not None][:20]
    paths = [place(made, tmp_path) for made in files]
    alone = [np.asarray(open_picture(path)) for path in paths]
    with ThreadPoolExecutor(8) as threads:
        for found, expected in zip(threads.map(open_picture, paths * 5), alone * 5, strict=True):
            assert (np.asarray(found) == expected).all()


@pytest.mark.parametrize(
    ("file", "lack", "said"),
    [
        ("planar", "tifffile", 'a TIFF of 3 x 16-bit, planar, which needs tifffile: pip install "i2i-gan[raster]"'),
        ("lzw", "imagecodecs", "a TIFF of 3 x 16-bit, planar, whose compression needs imagecodecs: pip install"),
        ("heic", "pillow_heif", 'HEIC files need pillow-heif: pip install "i2i-gan[heic]"'),
        ("avif", "avif", "it is AVIF, which this build of Pillow cannot read; take another one, or convert it"),
    ],
)
def test_a_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, lack: str, said: str
) -> None:
    contents = {
        "planar": tiff(levels(16, 3), 16, 2, planar=True),
        "lzw": tiff(levels(16, 3), 16, 2, planar=True, compression=5),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99,
        "avif": saved(Image.fromarray(smooth()), "AVIF"),
    }[file]
    (tmp_path / "a.jpg").write_bytes(contents)
    if lack == "tifffile":
        monkeypatch.setattr(tiffs, "find_spec", lambda name: None)
    elif lack == "imagecodecs":
        lacking = ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")
        monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda self: (_ for _ in ()).throw(lacking))
    elif lack == "pillow_heif":
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
    else:
        monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(ValueError) as error:
        open_picture(tmp_path / "a.jpg")
    assert why_broken(error.value).startswith(said)


def test_common_tiffs_need_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiffs, "find_spec", lambda name: None)
    for bits, channels, model in ((16, 3, 2), (16, 4, 2), (16, 1, 0), (16, 1, 1), (8, 3, 2), (8, 1, 0)):
        numbers = levels(bits, channels)
        extra = [0] * (channels - 3)
        for order in "<>":
            if (bits, model, order) == (16, 0, ">"):
                continue
            for compression in (1, 5, 8):
                file = tiff(numbers, bits, model, order=order, compression=compression, extra=extra)
                (tmp_path / "a.tif").write_bytes(file)
                shown = rgb(eight(numbers[..., :3], 2**bits - 1))
                found = np.asarray(open_picture(tmp_path / "a.tif"))
                assert (found == (shown if model else 255 - shown)).all(), (bits, channels, model, order, compression)
    floats = unit(1).astype(np.float32)
    (tmp_path / "f.tif").write_bytes(tiff(floats, 32, 1, numeric="f", order=">"))
    assert (np.asarray(open_picture(tmp_path / "f.tif")) == rgb(eight(floats, 1.0))).all()


def test_pictures_of_200_megapixels_are_read_and_pillow_says_nothing(tmp_path: Path) -> None:
    """Only the header is large here: decoding would take a gigabyte."""
    header = b"\0\0\x3e\x80\0\0\x30\xd4\x10\x02\0\0\0"  # 16,000 x 12,500
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x")
    (tmp_path / "large.png").write_bytes(file)
    with warnings.catch_warnings(), open(tmp_path / "large.png", "rb") as stream:
        warnings.simplefilter("error")
        assert files._opened(stream, tmp_path / "large.png", "PNG").size == (16_000, 12_500)


def test_more_suffixes_are_read_than_written(tmp_path: Path) -> None:
    for suffix in READ_ONLY:
        path = tmp_path / "pictures" / f"a{suffix}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(smooth()).save(path, "JPEG")
        with pytest.raises(
            UsageError, match=r"should end in one of \.bmp, \.jpeg, \.jpg, \.png, \.tif, \.tiff, \.webp$"
        ):
            check_suffix(path)
        with pytest.raises(UsageError, match=r"should be a folder, or a file that ends in one of \.bmp, \.jpeg"):
            is_one_file(path)
    assert len(find_pictures([str(tmp_path / "pictures")])) == len(READ_ONLY)


# What is left of pictures that are cut short


def spoiled(root: Path) -> Image.Image:
    """Write whole pictures into the domain b, and six tenths of each into a; return the picture."""
    y, x = np.mgrid[0:200, 0:200].astype(np.uint8)
    picture = Image.fromarray(np.dstack([x, y, x]))
    for domain in "ab":
        (root / domain).mkdir(parents=True)
    for name, how in (
        ("a.jpg", {}),
        ("b.jpg", {"progressive": True}),
        ("c.png", {}),
        ("d.bmp", {}),
        ("e.webp", {}),
        ("f.tif", {"compression": "tiff_lzw"}),
    ):
        picture.save(root / "b" / name, **how)
        whole = (root / "b" / name).read_bytes()
        (root / "a" / name).write_bytes(whole[: len(whole) * 6 // 10])
    numbers = np.asarray(picture).astype(np.uint64)
    for name, interlaced in (("g.png", False), ("i.png", True)):
        file = png(numbers * np.uint64(257), 16, 2, interlaced)
        middle = len(file) * 6 // 10
        (root / "a" / name).write_bytes(file[:middle] + bytes([file[middle] ^ 255]) + file[middle + 1 :])
    (root / "a" / "h.jpg").write_text("nothing to repair")
    return picture


def test_what_is_left_of_broken_pictures_is_taken(tmp_path: Path) -> None:
    picture = spoiled(tmp_path)
    with warnings.catch_warnings(record=True) as said:
        dataset = ImageFolders(root=tmp_path, broken="repair")
    assert [str(warning.message) for warning in said] == [
        f"took what is left of 6 broken pictures in {tmp_path}: a/a.jpg (cut short), a/b.jpg (cut short), a/c.png "
        f"(cut short), a/d.bmp (cut short), a/g.png (damaged: a checksum of its pixels is wrong) and 1 more",
        f"skipped 3 broken pictures in {tmp_path}: a/e.webp (cut short), a/f.tif (cut short), a/h.jpg (it is text, not "
        f"a picture)",
    ]
    assert [path.name for path in dataset.files[0]] == ["a.jpg", "b.jpg", "c.png", "d.bmp", "g.png", "i.png"]
    assert {*dataset.extents(0).values()} == {(200, 200)}
    rng = np.random.default_rng(0)
    for index, path in enumerate(dataset.files[0]):
        found = np.asarray(dataset.record(0, index, ["x"], rng)["x"]).astype(int)
        off = np.abs(found - np.asarray(picture)).max(2)
        there = {"d.bmp": np.s_[100:], "i.png": np.s_[::8, ::8]}.get(path.name, np.s_[:80])
        assert off[there].mean() < 6, f"the part of {path.name} that is there"
        assert path.name == "b.jpg" or off.max() > 90, f"the rest of {path.name} is blank"


def test_a_flat_picture_of_which_little_is_there_is_repaired(tmp_path: Path) -> None:
    """Its pixels take fewer bits than any others, and half of them are left."""
    flat = saved(Image.new("RGB", (640, 640), (200, 40, 90)), "JPEG", optimize=True)
    for domain in "ab":
        (tmp_path / domain).mkdir()
        (tmp_path / domain / "whole.jpg").write_bytes(flat)
    (tmp_path / "a" / "half.jpg").write_bytes(flat[: len(flat) // 2 + 300])
    with pytest.warns(UserWarning, match="^took what is left of 1 broken picture in"):
        dataset = ImageFolders(root=tmp_path, broken="repair")
    half = np.asarray(dataset.record(0, 0, ["x"], np.random.default_rng(0))["x"])
    assert abs(half[0, 0].astype(int) - (200, 40, 90)).max() < 5 and (half[-1, -1] == 128).all()


def test_broken_pictures_are_refused_unless_told_otherwise(tmp_path: Path) -> None:
    spoiled(tmp_path)
    said = r"9 broken pictures in .*; repair or remove them, or set broken: skip or repair$"
    with pytest.raises(ValueError, match=said):
        ImageFolders(root=tmp_path)


def test_a_repair_takes_no_memory_that_a_header_asks_for(tmp_path: Path) -> None:
    header = b"\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0"
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x\x9c\x63\x60\0\0\0\2\0\1")
    for domain in "ab":
        (tmp_path / domain).mkdir()
        Image.fromarray(smooth()).save(tmp_path / domain / "whole.png")
    (tmp_path / "a" / "bomb.png").write_bytes(file)
    with pytest.warns(
        UserWarning, match=r"^skipped 1 broken picture in .*bomb.png \(\d+ x \d+ pixels are more than 250,"
    ):
        assert ImageFolders(root=tmp_path, broken="repair").count(0) == 1


def test_a_new_library_lets_files_be_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        assert "pip install" in looks([tmp_path / "a.heic"], Picture())[tmp_path / "a.heic"].reason
        assert "pip install" in looks([tmp_path / "a.heic"], Picture())[tmp_path / "a.heic"].reason
    monkeypatch.setattr(files, "version", lambda name: "99")
    monkeypatch.setattr(files, "_opener", lambda kind: _fail)
    assert looks([tmp_path / "a.heic"], Picture())[tmp_path / "a.heic"].reason == "looked at again"


def _fail(*_: Any) -> Any:
    raise ValueError("looked at again")
