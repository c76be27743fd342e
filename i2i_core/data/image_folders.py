"""Pictures in folders: one folder per domain."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image

from i2i_core.data.pictures import open_picture, picture_files, why_broken
from i2i_core.data.user_cache import user_cache
from i2i_core.errors import DataError, did_you_mean


class ImageFolders:
    """Pictures in the folders of `root`, one per domain; the folders' names in sorted order are the domains.

    png, jpg, webp, bmp and tiff in any case, at any depth; hidden files and folders are ignored. Every picture is
    decoded once to find broken ones (remembered in the user's cache until a file changes): they are refused, or
    skipped with a warning that names them, as `broken` says; so are those with a side below `min_size` pixels.
    domains: which folders, in which order, instead of all.
    """

    paired = False

    def __init__(
        self,
        *,
        root: Path,
        domains: list[str] | None = None,
        broken: Literal["refuse", "skip"] = "refuse",
        min_size: int = 8,
    ) -> None:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}, which should hold one folder of pictures per domain")
        found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        for name in domains or ():
            if name not in found:
                hint = did_you_mean(name, found)
                raise ValueError(f"there is no domain {name} in {root}" + (f"; {hint}" if hint else ""))
        self.root = root
        self.domains: Sequence[str] = tuple(domains if domains is not None else found)
        if not self.domains:
            raise ValueError(f"{root} holds no folders; put the pictures of each domain into a folder of its own")
        files = [picture_files(root / name) for name in self.domains]
        self.broken = find_broken([path for paths in files for path in paths], min_size)
        self.files = [[path for path in paths if path not in self.broken] for paths in files]
        if self.broken:
            names = [f"{path.relative_to(root)} ({reason})" for path, reason in self.broken.items()]
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            plural = "s" if len(names) > 1 else ""
            said = f"{len(names)} broken picture{plural} in {root}: {', '.join(names[:5])}{more}"
            if broken == "refuse":
                raise ValueError(f"{said}; repair or remove them, or say broken: skip")
            warnings.warn(f"skipped {said}", stacklevel=2)

    def count(self, domain: int) -> int:
        return len(self.files[domain])

    def picture(self, domain: int, index: int) -> Image.Image:
        path = self.files[domain][index]
        try:
            return open_picture(path)
        except (OSError, ValueError) as error:
            raise DataError(f"the picture {path} cannot be read any more: {error}") from error

    def fingerprint(self) -> str:
        """What changes when a picture may have become another."""
        stats = [(path, path.stat()) for paths in self.files for path in paths]
        return str([self.root.resolve(), *((str(path), s.st_size, s.st_mtime_ns) for path, s in stats)])


def find_broken(paths: Sequence[Path], min_size: int = 8) -> dict[Path, str]:
    """The files that are no usable pictures, and why; what was decoded before is not decoded again."""
    known: dict[str, str] = {}
    with suppress(OSError, ValueError, TypeError):  # no cache yet, or a spoilt one
        known = dict(json.loads(_cache_file(paths).read_text(encoding="utf-8")))
    broken = {path: "no file" if path.exists() else "a link to nothing" for path in paths if not path.is_file()}
    keys = {path: _key(path, min_size) for path in paths if path not in broken}
    new = [path for path, key in keys.items() if key not in known]
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:  # decoding leaves Python's lock to others
        warnings.simplefilter("ignore")
        known |= {
            keys[path]: why
            for path, why in zip(new, threads.map(partial(examine, min_size=min_size), new), strict=True)
        }
    reasons = {key: known[key] for key in keys.values()}
    broken |= {path: reasons[key] for path, key in keys.items() if reasons[key]}
    if new:
        with suppress(OSError):  # a home that is not there, or cannot be written, costs time, nothing else
            cache = _cache_file(paths)
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(reasons), encoding="utf-8")
    return {path: broken[path] for path in paths if path in broken}


def _key(path: Path, min_size: int) -> str:
    """What changes when a file may have become another picture."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{min_size}"


def examine(path: Path, min_size: int) -> str:
    """Why `path` cannot be used, or an empty string."""
    try:
        width, height = open_picture(path).size
    except Exception as error:  # a decoder may raise anything on a mutilated file
        return why_broken(error)
    return f"{width} x {height} pixels" if min(width, height) < min_size else ""


def _cache_file(paths: Sequence[Path]) -> Path:
    """One file for all pictures below a folder, in the user's cache."""
    root = os.path.commonpath([path.resolve().parent for path in paths]) if paths else ""
    return user_cache("pictures") / f"{hashlib.sha256(root.encode()).hexdigest()[:32]}.json"
