"""Pictures in folders: one folder per domain."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from i2i_core.errors import DataError, did_you_mean

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Formats that Pillow may decode, whatever a file is called; no others are tried."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
MAX_PIXELS = 100_000_000
"""A header that announces more is refused before anything is decoded."""


@dataclass(frozen=True)
class Broken:
    """A file that is no usable picture, and why."""

    path: Path
    reason: str


class ImageFolders:
    """Pictures in the folders of `root`, one per domain; the folders' names in sorted order are the domains.

    png, jpg, webp, bmp and tiff in any case, at any depth; hidden files and folders are ignored. Every picture is
    decoded once to find broken ones (remembered in the user's cache until a file changes): they are refused, or
    skipped with a warning that names them. domains: which folders, in which order, instead of all.
    """

    paired = False

    def __init__(self, *, root: Path, domains: list[str] | None = None, broken: Literal["refuse", "skip"] = "refuse",
                 min_size: int = 8) -> None:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}; data.root must hold one folder of pictures per domain")
        found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        for name in domains or ():
            if name not in found:
                hint = did_you_mean(name, found)
                raise ValueError(f"there is no domain {name} in {root}" + (f"; {hint}" if hint else ""))
        self.root, self.domains = root, tuple(domains if domains is not None else found)
        if not self.domains:
            raise ValueError(f"{root} holds no folders; put the pictures of each domain into a folder of its own")
        files = {name: picture_files(root / name) for name in self.domains}
        self.broken = find_broken([path for paths in files.values() for path in paths], min_size)
        if self.broken:
            names = ", ".join(f"{b.path.relative_to(root)} ({b.reason})" for b in self.broken[:5])
            names += f" and {len(self.broken) - 5} more" if len(self.broken) > 5 else ""
            count = f"{len(self.broken)} broken picture" + ("s" if len(self.broken) > 1 else "")
            if broken == "refuse":
                raise ValueError(f"{count} in {root}: {names}; repair or remove them, or say broken: skip")
            warnings.warn(f"skipped {count} in {root}: {names}", stacklevel=2)
        bad = {b.path for b in self.broken}
        self.files = [[p for p in files[name] if p not in bad] for name in self.domains]

    def count(self, domain: int) -> int:
        return len(self.files[domain])

    def picture(self, domain: int, index: int) -> Image.Image:
        path = self.files[domain][index]
        try:
            return open_picture(path)
        except (OSError, ValueError) as error:
            raise DataError(f"the picture {path} cannot be read any more: {error}") from error


def picture_files(folder: Path) -> list[Path]:
    """Files with a picture's suffix below `folder`, sorted, without hidden ones."""
    found, seen = [], set[str]()
    for base, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(base)) in seen:  # links may lead in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [Path(base) / n for n in names if not n.startswith(".") and Path(n).suffix.lower() in SUFFIXES]
    return sorted(found)


def open_picture(path: Path) -> Image.Image:
    """Decode a picture as RGB: transparent parts on white, 16-bit grey scaled, rotated as its EXIF data says.

    Raises OSError or ValueError for what is no picture.
    """
    with Image.open(path, formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels")
        picture.load()
        return to_rgb(picture)


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any decoded picture as RGB, as `open_picture` says."""
    orientation = picture.getexif().get(0x0112, 1)
    if orientation in _TURNS:
        picture = picture.transpose(_TURNS[orientation])
    if picture.mode.startswith("I") or picture.mode == "F":  # convert("RGB") would clip 16 bits to 8
        grey = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if picture.mode.startswith("I") else max(1.0, float(grey.max(initial=1.0)))
        picture = Image.fromarray((grey / top * 255).round().clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        picture = Image.alpha_composite(white, layer)
    return picture.convert("RGB")


_T = Image.Transpose
_TURNS = {2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE, 6: _T.ROTATE_270,
          7: _T.TRANSVERSE, 8: _T.ROTATE_90}


def examine(path: Path, min_size: int) -> str:
    """Why `path` cannot be used, or an empty string."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = open_picture(path).size
    except UnidentifiedImageError:
        return "no picture"
    except Image.DecompressionBombError:
        return "too many pixels"
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        return "cut short" if "truncated" in str(error) else str(error) or "unreadable"
    except Exception as error:  # a decoder may raise anything on a mutilated file
        return type(error).__name__
    return f"{width} x {height} pixels" if min(width, height) < min_size else ""


def find_broken(paths: Sequence[Path], min_size: int = 8) -> list[Broken]:
    """Decode what was not decoded before; results are kept by path, size and time of change."""
    known = _read_cache(_cache_file(paths))
    verdicts: dict[str, str] = {}
    broken = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError as error:  # a link to nothing
            broken.append(Broken(path, error.strerror or "unreadable"))
            continue
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{min_size}"
        if key not in verdicts:
            verdicts[key] = known[key] if key in known else examine(path, min_size)
        if verdicts[key]:
            broken.append(Broken(path, verdicts[key]))
    if verdicts.keys() - known.keys():
        _write_cache(_cache_file(paths), verdicts)
    return broken


def _cache_file(paths: Sequence[Path]) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = os.path.commonpath([p.resolve().parent for p in paths]) if paths else ""
    return base / "i2i" / "pictures" / f"{hashlib.sha256(str(root).encode()).hexdigest()[:32]}.json"


def _read_cache(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _write_cache(file: Path, verdicts: dict[str, str]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}.new")
        beside.write_text(json.dumps(verdicts), encoding="utf-8")
        beside.replace(file)
    except OSError:  # a home that cannot be written costs time, nothing else
        pass
