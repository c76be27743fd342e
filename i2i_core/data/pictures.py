"""Picture files: finding, decoding and writing them."""

from __future__ import annotations

import glob
import io
import logging
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from i2i_core.data.walking import all_files, by_suffix, is_clutter, unread_pictures
from i2i_core.disk.files import write_file
from i2i_core.errors import DataError, UsageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Formats that Pillow may decode, whatever the suffix of a file."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 100_000_000
"""Limit of a picture's pixels, checked against its header before decoding."""
MOST_SIDE = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}
"""Greatest width and height in pixels, by suffix of a format with a limit."""
STRETCHED = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow multiplies the levels of grey files with 2 and 4 bits, by its name of their pixels."""
SAVING: dict[str, dict[str, Any]] = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"lossless": True}}

for _library in ("PIL", "tifffile"):  # which would print a line besides the error that they raise
    logging.getLogger(_library).addHandler(logging.NullHandler())


def picture_files(folder: Path) -> list[Path]:
    """Return the files below `folder` with a suffix of a picture, as `files_below` does."""
    return files_below(folder, SUFFIXES)


def files_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files at any depth below `folder` with one of the suffixes, sorted, without clutter.

    Raises DataError if a folder cannot be read.
    """
    return [path for path in all_files(folder) if path.name.lower().endswith(tuple(suffixes))]


def open_picture(path: Path) -> Image.Image:
    """Decode a picture as RGB: transparent parts on white, 16-bit grey scaled, rotated as its EXIF data says.

    Raises OSError or ValueError if the file is not a picture.
    """
    return as_rgb(decode_file(path))


def decode_file(path: Path) -> Image.Image:
    """Decode a picture in the mode of its file, rotated as its EXIF data says.

    Raises OSError or ValueError if the file is not a picture.
    """
    with _opened(path) as file:
        if file.width * file.height > MAX_PIXELS:
            raise ValueError(f"{file.width} x {file.height} pixels are more than {MAX_PIXELS:,}")
        ImageOps.exif_transpose(file, in_place=True)
    return file


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            if file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                raise ValueError("a TIFF whose bands or numbers no picture has; the format raster reads it") from None
        raise


def decode_numbers(path: Path) -> Image.Image:
    """Decode a picture whose levels are numbers, such as ids: as `decode_file`, with the grey levels of the file.

    Raises ValueError for several pages, of which smaller ones are ignored.
    """
    picture = decode_file(path)
    with Image.open(path, formats=FORMATS) as file:
        stretch = STRETCHED.get(pixels_of(file)[:3], 1)
        if getattr(file, "n_frames", 1) > 1:
            size = file.size
            file.seek(1)
            if file.size == size:
                raise ValueError("it has several pages; save one in each file")
    return picture.point([level // stretch for level in range(256)]) if picture.mode == "L" and stretch > 1 else picture


def pixels_of(file: Image.Image) -> str:
    """Return Pillow's name of the pixels in a file that is not decoded yet: "L;4" for 4 bits; or "" if it has none."""
    for *_, pixels in getattr(file, "tile", ()):
        return str(pixels[0] if isinstance(pixels, tuple) else pixels)
    return ""


def as_rgb(picture: Image.Image) -> Image.Image:
    """Convert a decoded picture of any mode to RGB: transparent parts on white, 16-bit grey scaled to 8 bits.

    A picture that is RGB is returned as it is.
    """
    if picture.mode.startswith("I") or picture.mode == "F":  # convert("RGB") would clip 16 bits to 8
        grey = np.nan_to_num(np.asarray(picture, dtype=np.float64), posinf=0.0, neginf=0.0)
        top = 65535.0 if picture.mode.startswith("I") else float(grey.max(initial=1.0))
        if isinstance(clear := picture.info.get("transparency"), int):  # the grey value that is transparent
            grey = np.where(grey == clear, top, grey)
        picture = Image.fromarray((grey / top * 255).round().clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it


def why_broken(error: Exception) -> str:
    """Return an error of `open_picture` as a phrase for users."""
    if isinstance(error, UnidentifiedImageError):
        return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    if isinstance(error, Image.DecompressionBombError):  # Pillow's own limit, above ours
        return f"it has more than {MAX_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:  # whose text would repeat the path
        return error.strerror.lower()
    if any(said in str(error) for said in ("truncated", "failed to read", "mmap length is greater")):
        return "cut short"
    return str(error) or type(error).__name__


def find_pictures(named: Sequence[str], suffixes: Sequence[str] = SUFFIXES) -> dict[Path, Path]:
    """Return the pictures that files, folders (at any depth) and globs name, each with its relative output path.

    The output path is relative to the named folder, or to the fixed part of a glob. A glob may match folders. A file
    that is named itself may have any suffix. Raises DataError for a name without pictures.
    """
    found: dict[Path, Path] = {}
    for name in named:
        if os.path.isfile(name):
            found.setdefault(Path(name), Path(Path(name).name))
            continue
        base, files = _files_of(name)
        pictures = [path for path in files if path.name.lower().endswith(tuple(suffixes))]
        if not pictures:
            unread = by_suffix(unread_pictures(files, suffixes))
            what = f"pictures that can be read in {name}: {unread}" if unread else f"pictures in {name}"
            raise DataError(f"there are no {what}; known are {', '.join(sorted(suffixes))}")
        for path in pictures:
            found.setdefault(path, path.relative_to(base))
    return found


def _files_of(name: str) -> tuple[Path, list[Path]]:
    """Return the files of a folder or a glob, and the folder to which their output paths are relative."""
    if os.path.isdir(name):
        return Path(name), all_files(Path(name))
    base = Path(*takewhile(lambda part: not glob.has_magic(part), Path(name).parts[:-1]))
    matches = sorted(map(Path, glob.glob(name, recursive=True)))
    if not matches:
        raise DataError(f"there is no file or folder {name}")
    named = (match for match in matches if not any(map(is_clutter, match.relative_to(base).parts)))
    return base, [path for match in named for path in (all_files(match) if match.is_dir() else [match])]


def without_suffixes(places: Mapping[Path, Path]) -> dict[Path, Path]:
    """Return output paths without suffixes, or with them if two paths would be equal (a.jpg and a.png)."""
    plain = {path: place.with_suffix("") for path, place in places.items()}
    return plain if len({*plain.values()}) == len({*places.values()}) else {**places}


def read_picture(path: Path) -> Image.Image:
    """Decode a file that a user named, as `open_picture` does. Raises DataError with the reason if that fails."""
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):  # see MAX_PIXELS
            return open_picture(path)
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise DataError(f"{path} cannot be used as a picture: {why_broken(error)}") from error


def picture_file(picture: Image.Image, suffix: str) -> bytes:
    """Return a picture as the contents of a file. Raises ValueError for one that is too large for the suffix."""
    file = io.BytesIO()
    if max(picture.size) > (most := MOST_SIDE.get(suffix, math.inf)):
        raise ValueError(
            f"would be {picture.width} x {picture.height} pixels, and {suffix} allows {most} on a side; name a .png"
        )
    picture.save(file, Image.registered_extensions()[suffix], **SAVING.get(suffix, {}))
    return file.getvalue()


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture atomically, in the format of the path's suffix; create its folder if needed.

    Raises DiskError, and UsageError for a picture that is too large for the format.
    """
    try:
        contents = picture_file(picture, path.suffix.lower())
    except ValueError as error:
        raise UsageError(f"{path} {error}") from None
    write_file(path, contents)


def check_suffix(path: Path) -> None:
    """Raise UsageError if the suffix of an output path is not that of a picture."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} should end in one of {', '.join(sorted(SUFFIXES))}")


def is_one_file(out: Path, suffixes: Sequence[str] = SUFFIXES) -> bool:
    """Return True if an output path names a picture file, False for a folder. Raises UsageError for another file."""
    if out.is_dir():
        return False
    if (suffix := out.suffix.lower()) not in suffixes and (out.exists() or suffix in Image.registered_extensions()):
        raise UsageError(f"{out} should be a folder, or a file that ends in one of {', '.join(sorted(suffixes))}")
    return suffix in suffixes


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise UsageError if output files already exist; called before anything is computed."""
    there = [path for path in paths if path.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}{more} would be overwritten; choose another place, or allow it with --overwrite")
