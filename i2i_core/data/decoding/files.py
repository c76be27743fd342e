"""Decoding of picture files, by their contents and not by their suffixes."""

from __future__ import annotations

import logging
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from i2i_core.data.decoding.bitmaps import RLE4, RLE8, index, unroll
from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.colours import PROFILES, as_rgb, boxes, scaled
from i2i_core.data.decoding.jpegs import complete, refuse_unread
from i2i_core.data.decoding.kinds import MAX_PIXELS, is_cut, kind_of
from i2i_core.data.decoding.png_parts import without_texts
from i2i_core.data.decoding.profiles import codes_in_boxes
from i2i_core.data.decoding.tiffs import (
    ORIENTATION,
    WHITE_IS_ZERO,
    Kind,
    kind_of_tiff,
    lighten,
    tiff_numbers,
    tiff_picture,
)
from i2i_core.disk.unknown import open_regular
from i2i_core.errors import DataError

Array = np.ndarray[Any, Any]
OPENERS: Mapping[str, Callable[[BinaryIO, str], ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.jpeg_factory,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
"""Pillow's readers. `Image.open` would choose one of them, and refuse pictures of more than 179 megapixels."""
LIBRARIES = ("tifffile", "imagecodecs", "pillow-heif")
"""The distributions of the extras that decode pictures."""
DECODED = 4
"""The version of this module: it goes up when the same file gives other pixels, or is refused for another reason."""
MOST_BYTES = 2**31
"""Most bytes of a file in a compressed format: some decoders read it whole."""
BOXES = 2**16
"""Number of bytes in which an AVIF or a HEIC describes its colours."""
STRETCHED = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow multiplies the levels of grey files with 2 and 4 bits, by its name of their pixels."""
OTHER_BYTES = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte orders by Pillow's last letter of pixels with 16 bits, and those in which it decodes their low bytes."""

for _library in ("PIL", "tifffile"):  # which would print a line besides the error that they raise
    logging.getLogger(_library).addHandler(logging.NullHandler())


@BUDGET.turn()
def open_picture(path: Path) -> Image.Image:
    """Decode a picture as RGB: transparent parts on white, more than 8 bits scaled, colour profiles converted to sRGB.

    It is rotated as its EXIF data says. Raises OSError or ValueError with the reason if it cannot be used.
    """
    return as_rgb(decode_file(path))


def read_picture(path: Path) -> Image.Image:
    """Decode a file that a user named, as `open_picture` does. Raises DataError with the reason if that fails."""
    try:
        return open_picture(path)
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise DataError(f"{path} cannot be used as a picture: {why_broken(error)}") from error


def decode_file(path: Path) -> Image.Image:
    """Decode a picture in the mode of its file, rotated as its EXIF data says; colours with 8 bits.

    Of several pages or frames, it is the first. Raises OSError or ValueError if the file is not a picture.
    """
    return _decode(path, numbers=False)


def decode_numbers(path: Path) -> Image.Image:
    """Decode a picture whose levels are numbers, such as ids: as `decode_file`, with the grey levels of the file.

    Raises ValueError for several pages, of which smaller ones are ignored.
    """
    picture = _decode(path, numbers=True)
    for name in PROFILES:  # of which numbers have no use
        picture.info.pop(name, None)
    return picture


@BUDGET.turn()
def deep_colours(path: Path) -> Array | None:
    """Return the numbers of a PNG with colours of 16 bits, (H, W, C); None for other files."""
    with open_regular(path) as stream:
        kind = kind_of(stream)
        if kind != "PNG" or not is_deep(file := _opened(stream, path, kind)):
            return None
        BUDGET.take(file.width * file.height)
        high, strips = _deep(stream, path, kind)
        numbers = np.empty((high.height, high.width, len(high.getbands())), np.uint16)
        for strip, (_, top, _, bottom) in zip(strips, boxes(high.size), strict=True):
            numbers[top:bottom] = strip
        return numbers


def libraries() -> str:
    """Return the versions of all that decodes, as a text. With others, other files may be read."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return f"{DECODED} {features.version('pil')} {found}"


def why_broken(error: Exception) -> str:
    """Return an error of `open_picture` as a phrase for users."""
    if isinstance(error, OSError) and error.strerror:  # whose text would repeat the path
        return error.strerror.lower()
    if any(said in str(error) for said in ("runcated", "failed to read", "mmap length is greater", "end of file")):
        return "cut short"
    said = " ".join(str(error).split()) or "damaged: it cannot be decoded"
    return re.sub(
        r"^(image )?decoder error -?\d+$|^broken data stream.*", "damaged: its pixels cannot be decoded", said
    )


@BUDGET.turn()
def _decode(path: Path, numbers: bool) -> Image.Image:
    with open_regular(path) as stream:
        kind = kind_of(stream)
        if (size := os.fstat(stream.fileno()).st_size) > MOST_BYTES and kind not in ("TIFF", "BMP"):
            raise ValueError(f"{size:,} bytes are more than a picture has")
        tiff = kind_of_tiff(stream) if kind == "TIFF" else None
        if tiff and tiff.preview:
            raise ValueError("a raw photograph, of which only a preview is a picture; develop it to TIFF or JPEG")
        if tiff and not tiff.by_pillow:
            picture = (tiff_numbers if numbers else tiff_picture)(path, tiff, MAX_PIXELS)
            picture.getexif()[ORIENTATION] = tiff.orientation
        else:
            picture = _by_pillow(stream, path, kind, numbers)
    with suppress(SyntaxError, struct.error, ValueError, TypeError, KeyError):  # damaged EXIF data, as viewers do
        ImageOps.exif_transpose(picture, in_place=True)
    return _upright(picture, tiff) if tiff else picture


def _by_pillow(stream: BinaryIO, path: Path, kind: str, numbers: bool) -> Image.Image:
    file = _opened(stream, path, kind)
    pixels = pixels_of(file)
    if numbers:
        _refuse_pages(file)
    BUDGET.take(file.width * file.height)
    if is_deep(file):
        return _rounded(*_deep(stream, path, kind))
    if kind == "BMP":
        index(file, stream)
        if (coding := file.info.get("compression")) in (RLE4, RLE8):
            unroll(file, stream, 4 if coding == RLE4 else 8)
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        lighten(file)
    picture = _loaded(file, stream, kind)
    if factor := STRETCHED.get(pixels[:3]):
        if numbers:
            return picture.point([level // factor for level in range(256)])
        if isinstance(clear := picture.info.get("transparency"), int):
            picture.info["transparency"] = clear * factor
    return picture


def _loaded(file: ImageFile.ImageFile, stream: BinaryIO, kind: str) -> Image.Image:
    """Decode the pixels. A JPEG may lack its end marker."""
    try:
        file.load()
    except Exception as error:  # a decoder may raise anything on a damaged file
        if is_cut(stream, kind):
            raise ValueError("cut short") from error
        stream.seek(0)
        if kind == "TIFF" and kind_of_tiff(stream).cut:
            raise ValueError("cut short") from error
        whole = complete(stream.read()) if kind == "JPEG" and "truncated" in str(error) else None
        if whole is None:
            raise
        return whole
    return file


def _opened(stream: BinaryIO, path: Path, kind: str) -> ImageFile.ImageFile:
    """Read the header of a picture. Raises ValueError for a damaged one, for too many pixels or a missing library."""
    if kind == "JPEG":
        refuse_unread(stream)
    stream.seek(0)
    try:
        name = "" if kind == "TIFF" else str(path)  # by whose name Pillow maps a file, and turns its rows wrongly
        source, said = without_texts(stream) if kind == "PNG" else (stream, dict[str, Any]())
        file = _opener(kind)(source, name)
        file.info.update(said)
    except (SyntaxError, EOFError, OSError) as error:
        ended = isinstance(error.__cause__ or error, EOFError | IndexError | struct.error)
        cut = ended or "truncated" in str(error).lower() or is_cut(stream, kind)
        what = f"a {kind} of a kind that is not read" if "nsupported" in str(error) else f"a damaged {kind}"
        raise ValueError("cut short" if cut else f"{what}: {error}") from error
    if kind in ("AVIF", "HEIC") and not file.info.get("icc_profile"):
        stream.seek(0)
        if codes := codes_in_boxes(stream.read(BOXES)):
            file.info["cicp"] = codes
    if file.width * file.height > MAX_PIXELS:
        raise ValueError(f"{file.width} x {file.height} pixels are more than {MAX_PIXELS:,}")
    return file


def _opener(kind: str) -> Callable[[BinaryIO, str], ImageFile.ImageFile]:
    if kind == "AVIF" and not features.check("avif"):
        raise ValueError("it is AVIF, which this build of Pillow cannot read; take another one, or convert it")
    if kind == "HEIC":
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise ValueError('HEIC files need pillow-heif: pip install "i2i-gan[heic]"') from None
        register_heif_opener()
        return Image.OPEN["HEIF"][0]
    return OPENERS[kind]


def pixels_of(file: Image.Image) -> str:
    """Return Pillow's name of the pixels in a file that is not decoded yet: "L;4" for 4 bits; or "" if it has none."""
    for *_, pixels in getattr(file, "tile", ()):
        return str(pixels[0] if isinstance(pixels, tuple) else pixels)
    return ""


def is_deep(file: Image.Image) -> bool:
    """Return True for a file with colours of 16 bits, of which Pillow decodes 8."""
    return ";16" in pixels_of(file) and not pixels_of(file).startswith(("I;", "BGR;"))


def _deep(stream: BinaryIO, path: Path, kind: str) -> tuple[Image.Image, Iterator[Array]]:
    """Decode colours of 16 bits: a picture of their high bytes, and all numbers in strips (rows, W, C)."""
    high = _opened(stream, path, kind)
    pixels = pixels_of(high)
    if pixels.startswith("LA"):  # four bytes, as those of RGBA
        both = _loaded_as("RGBA", _opened(stream, path, kind))
        high.load()
        return high, (np.asarray(both.crop(box)).view(">u2") for box in boxes(high.size))
    low = _loaded_as(pixels[:-1] + OTHER_BYTES[pixels[-1]], _opened(stream, path, kind))
    high.load()
    pairs = ((np.asarray(picture.crop(box)) for picture in (high, low)) for box in boxes(high.size))
    return high, ((upper.astype(np.uint16) << 8) + lower for upper, lower in pairs)


def _loaded_as(pixels: str, file: ImageFile.ImageFile) -> Image.Image:
    """Decode a file as if it had other pixels of the same size, by Pillow's name of them."""
    file.tile = [
        tile._replace(args=(pixels, *tile.args[1:]) if isinstance(tile.args, tuple) else pixels) for tile in file.tile
    ]
    file.load()
    return file


def _rounded(picture: Image.Image, numbers: Iterator[Array]) -> Image.Image:
    """Replace the high bytes of colours by their 16 bits rounded to 8; make what is transparent an alpha channel."""
    clear = picture.info.pop("transparency", None)
    alpha = Image.new("L", picture.size)
    for strip, box in zip(numbers, boxes(picture.size), strict=True):
        if clear:
            hidden = (strip == np.array(clear)).all(2)
            alpha.paste(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)), box)
        rounded = scaled(strip, 65535)
        picture.paste(Image.fromarray(rounded).convert(picture.mode), box)
    if clear:
        picture.putalpha(alpha)
    return picture


def _refuse_pages(file: ImageFile.ImageFile) -> None:
    """Raise ValueError for a second page of the same size."""
    if getattr(file, "n_frames", 1) > 1:
        size = file.size
        file.seek(1)
        if file.size == size:
            raise ValueError("it has several pages; save one in each file")
        file.seek(0)


def _upright(picture: Image.Image, tiff: Kind) -> Image.Image:
    """Return grey numbers of a TIFF with white as the greatest one."""
    if tiff.by_pillow and tiff.model == WHITE_IS_ZERO and picture.mode.startswith("I;16"):
        return Image.fromarray(65535 - np.asarray(picture))
    return picture
