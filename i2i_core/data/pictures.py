"""Picture files: finding and writing them."""

from __future__ import annotations

import glob
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_core.data.walking import all_files, by_suffix, is_clutter, unread_pictures
from i2i_core.disk.files import write_file
from i2i_core.errors import DataError, UsageError

READ_ONLY = (".jfif", ".jpe", ".gif", ".avif", ".heic", ".heif")
"""Suffixes of pictures that are read, and not written."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", *READ_ONLY)
MOST_SIDE = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}
"""Greatest width and height in pixels, by suffix of a format with a limit."""
SAVING: dict[str, dict[str, Any]] = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"lossless": True}}


def picture_files(folder: Path) -> list[Path]:
    """Return the files below `folder` with a suffix of a picture, as `files_below` does."""
    return files_below(folder, SUFFIXES)


def files_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files at any depth below `folder` with one of the suffixes, sorted, without clutter.

    Raises DataError if a folder cannot be read.
    """
    return [path for path in all_files(folder) if path.name.lower().endswith(tuple(suffixes))]


def find_pictures(named: Sequence[str], suffixes: Sequence[str] = SUFFIXES) -> dict[Path, Path]:
    """Return the pictures that files, folders (at any depth) and globs name, each with its relative output path.

    The output path is relative to the named folder, or to the fixed part of a glob. A glob may match folders. A file
    that is named itself may have any suffix. Where output paths would be equal, they keep the folders in which the
    pictures differ. Raises DataError for a name without pictures.
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
    return _apart(found)


def _apart(places: Mapping[Path, Path]) -> dict[Path, Path]:
    """Return output paths of which equal ones are replaced by the paths below the folder that these pictures share."""
    alike: dict[Path, list[Path]] = {}
    for path, place in places.items():
        alike.setdefault(place, []).append(path)
    apart = dict(places)
    for paths in alike.values():
        if len(paths) > 1:
            full = {path: Path(os.path.abspath(path)) for path in paths}
            with suppress(ValueError):  # on several drives
                shared = os.path.commonpath([path.parent for path in full.values()])
                apart |= {path: place.relative_to(shared) for path, place in full.items()}
    return apart


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


def written(suffixes: Sequence[str]) -> list[str]:
    """Return those of a format's suffixes in which results are written."""
    return [suffix for suffix in suffixes if suffix not in READ_ONLY]


def check_suffix(path: Path) -> None:
    """Raise UsageError if the suffix of an output path is not that of a picture."""
    if path.suffix.lower() not in (suffixes := written(SUFFIXES)):
        raise UsageError(f"{path} should end in one of {', '.join(sorted(suffixes))}")


def is_one_file(out: Path, suffixes: Sequence[str] = SUFFIXES) -> bool:
    """Return True if an output path names a picture file, False for a folder. Raises UsageError for another file."""
    if out.is_dir():
        return False
    suffixes = written(suffixes)
    if (suffix := out.suffix.lower()) not in suffixes and (out.exists() or suffix in Image.registered_extensions()):
        raise UsageError(f"{out} should be a folder, or a file that ends in one of {', '.join(sorted(suffixes))}")
    return suffix in suffixes


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise UsageError if output files already exist; called before anything is computed."""
    there = [path for path in paths if path.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}{more} would be overwritten; choose another place, or allow it with --overwrite")
