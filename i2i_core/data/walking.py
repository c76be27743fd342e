"""The one walk through folders of pictures, with which all commands find files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from i2i_core.errors import DataError

CLUTTER = (
    *("@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "lost+found"),  # of file servers
    *("__macosx", "icon\r", "$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    "__pycache__",
)
"""Names, in lower case, of files and folders that systems put beside pictures."""
PICTURES = (
    *(".apng", ".avif", ".bmp", ".dds", ".dib", ".exr", ".gif", ".hdr", ".heic", ".heif", ".ico", ".j2k", ".jfif"),
    *(".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".jxl", ".mpo", ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".psd", ".qoi", ".sgi", ".svg", ".tga", ".tif", ".tiff", ".webp", ".xcf"),
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2"),  # of cameras
    *(".dcm", ".npy"),
)
"""Suffixes of files that a person would call pictures, read or not."""


def is_clutter(name: str) -> bool:
    """Return True for the name of a hidden file or folder, or of one that no person made."""
    return name.startswith(".") or name.lower() in CLUTTER


def all_files(folder: Path) -> list[Path]:
    """Return the files at any depth below `folder`, sorted, without clutter; symbolic links are followed.

    Links to a folder above it are not, as they would add the other domains. Raises DataError if a folder cannot be
    read.
    """
    found, seen = list[Path](), {str(parent) for parent in Path(os.path.realpath(folder)).parents}
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        if (real := os.path.realpath(base)) in seen:  # symbolic links may form a cycle
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        found += [Path(base) / name for name in names if not is_clutter(name)]
    return sorted(found)


def folders_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, without clutter."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_clutter(path.name))


def unread_pictures(files: Iterable[Path], suffixes: Collection[str]) -> list[Path]:
    """Return the files that a person would call pictures, and that have none of the suffixes that are read."""
    return [path for path in files if (suffix := path.suffix.lower()) in PICTURES and suffix not in suffixes]


def by_suffix(files: Iterable[Path]) -> str:
    """Describe files by their suffixes, such as "20 .heic and 3 .gif", the most frequent first."""
    named = [f"{count} {suffix}" for suffix, count in Counter(path.suffix.lower() for path in files).most_common()]
    return ", ".join(named[:-1]) + f" and {named[-1]}" if len(named) > 1 else "".join(named)


def not_read(files: Sequence[Path], where: object) -> str:
    """Return the sentence that files are not read, such as "20 .heic files in photos/cat are not read"."""
    return f"{by_suffix(files)} file{'s' * (len(files) > 1)} in {where} {'are' if len(files) > 1 else 'is'} not read"


def _unreadable(error: OSError) -> None:
    raise DataError(f"the folder {error.filename} cannot be read: {(error.strerror or '').lower()}")
