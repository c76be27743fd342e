"""Decoding of picture files, by their contents and not by their suffixes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
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

from i2i_core.data.colours import as_rgb, strips
from i2i_core.data.jpegs import complete
from i2i_core.data.kinds import MAX_PIXELS, kind_of
from i2i_core.data.tiffs import ORIENTATION, WHITE_IS_ZERO, Kind, kind_of_tiff, tiff_numbers, tiff_picture
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
STRETCHED = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow multiplies the levels of grey files with 2 and 4 bits, by its name of their pixels."""
OTHER_BYTES = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte orders by Pillow's last letter of pixels with 16 bits, and those in which it decodes their low bytes."""

for _library in ("PIL", "tifffile"):  # which would print a line besides the error that they raise
    logging.getLogger(_library).addHandler(logging.NullHandler())


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
    for name in ("icc_profile", "gamma", "chromaticity"):  # of which numbers have no use
        picture.info.pop(name, None)
    return picture


def deep_colours(path: Path) -> Array | None:
    """Return the numbers of a PNG with colours of 16 bits, (H, W, C); None for other files.

    Raises ValueError for grey with an alpha channel.
    """
    with open(path, "rb") as stream:
        kind = kind_of(stream)
        if kind != "PNG" or not is_deep(high := _opened(stream, path, kind)):
            return None
        if high.mode == "LA":
            raise ValueError("grey of 16 bits with an alpha channel; save it as .tif or .npy")
        low = _low_bytes(stream, path, kind)
        high.load()
    return (np.asarray(high).astype(np.uint16) << 8) + np.asarray(low)


def why_broken(error: Exception) -> str:
    """Return an error of `open_picture` as a phrase for users."""
    if isinstance(error, OSError) and error.strerror:  # whose text would repeat the path
        return error.strerror.lower()
    if any(said in str(error) for said in ("truncated", "Truncated", "failed to read", "mmap length is greater")):
        return "cut short"
    return str(error) or type(error).__name__


def _decode(path: Path, numbers: bool) -> Image.Image:
    with open(path, "rb") as stream:
        kind = kind_of(stream)
        tiff = kind_of_tiff(stream) if kind == "TIFF" else None
        if tiff and tiff.preview:
            raise ValueError("a raw photograph, of which only a preview is a picture; develop it to TIFF or JPEG")
        if tiff and not tiff.by_pillow:
            picture = (tiff_numbers if numbers else tiff_picture)(path, tiff, MAX_PIXELS)
            picture.getexif()[ORIENTATION] = tiff.orientation
        else:
            picture = _by_pillow(stream, path, kind, numbers)
    ImageOps.exif_transpose(picture, in_place=True)
    return _upright(picture, tiff) if tiff else picture


def _by_pillow(stream: BinaryIO, path: Path, kind: str, numbers: bool) -> Image.Image:
    file = _opened(stream, path, kind)
    pixels = pixels_of(file)
    if numbers:
        _refuse_pages(file)
    if is_deep(file) and file.mode != "LA":
        return _rounded(file, _low_bytes(stream, path, kind))
    picture: Image.Image = file
    try:
        file.load()
    except OSError as error:
        stream.seek(0)
        if kind != "JPEG" or "truncated" not in str(error) or (whole := complete(stream.read())) is None:
            raise
        picture = whole
    if factor := STRETCHED.get(pixels[:3]):
        if numbers:
            return picture.point([level // factor for level in range(256)])
        if isinstance(clear := picture.info.get("transparency"), int):
            picture.info["transparency"] = clear * factor
    return picture


def _opened(stream: BinaryIO, path: Path, kind: str) -> ImageFile.ImageFile:
    """Read the header of a picture. Raises ValueError for a damaged one, for too many pixels or a missing library."""
    stream.seek(0)
    try:
        file = _opener(kind)(stream, str(path))
    except (SyntaxError, EOFError) as error:
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise ValueError("cut short" if cut else f"a damaged {kind}: {error}") from error
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


def _low_bytes(stream: BinaryIO, path: Path, kind: str) -> Image.Image:
    """Decode the low bytes of colours with 16 bits: in the other byte order, Pillow takes them for the high ones."""
    file = _opened(stream, path, kind)
    pixels = pixels_of(file)
    other = pixels[:-1] + OTHER_BYTES[pixels[-1]]
    file.tile = [
        tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other) for tile in file.tile
    ]
    file.load()
    return file


def _rounded(high: Image.Image, low: Image.Image) -> Image.Image:
    """Round colours of 16 bits to 8, and make the colour that is transparent an alpha channel."""
    high.load()
    clear = high.info.pop("transparency", None)
    made = Image.new("RGBA" if clear else high.mode, high.size)
    for rows in strips(high.height):
        box = (0, rows.start, high.width, rows.stop)
        upper, lower = (np.asarray(picture.crop(box)).astype(np.int16) for picture in (high, low))
        strip = (upper + (lower - upper > 128) - (upper - lower > 128)).astype(np.uint8)  # nearest to n / 257
        if clear:
            opaque = ((upper << 8) + lower != np.array(clear, np.uint16).astype(np.int16)).any(2)
            strip = np.dstack([strip, np.where(opaque, 255, 0).astype(np.uint8)])
        made.paste(Image.fromarray(strip), box)
    made.info = high.info
    made.getexif()[ORIENTATION] = high.getexif().get(ORIENTATION, 1)
    return made


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
