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
    """Pictures in the subfolders of `root`, one per domain, named after the domains.

    Files may be png, jpg, webp, bmp or tiff, in upper or lower case, at any depth; hidden ones are ignored.
    Every picture is decoded once to find broken ones; the result is kept in the user's cache until a file changes.

    root: the folder that holds the domains' folders.
    domains: the folders to use, in the order of the class index y; default: all, sorted by name.
    broken: "refuse" raises an error for broken pictures, "skip" leaves them out with a warning.
    min_size: least number of pixels of the shorter side; smaller pictures count as broken.
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
            listed = f"{len(names)} broken picture{plural} in {root}: {', '.join(names[:5])}{more}"
            if broken == "refuse":
                raise ValueError(f"{listed}; repair or remove them, or set broken: skip")
            warnings.warn(f"skipped {listed}", stacklevel=2)

    def count(self, domain: int) -> int:
        return len(self.files[domain])

    def picture(self, domain: int, index: int) -> Image.Image:
        path = self.files[domain][index]
        try:
            return open_picture(path)
        except (OSError, ValueError) as error:
            raise DataError(f"the picture {path} cannot be read any more: {error}") from error

    def fingerprint(self) -> str:
        """Return a text of the paths, sizes and modification times of all files."""
        stats = [(path, path.stat()) for paths in self.files for path in paths]
        return str([self.root.resolve(), *((str(path), s.st_size, s.st_mtime_ns) for path, s in stats)])


def find_broken(paths: Sequence[Path], min_size: int = 8) -> dict[Path, str]:
    """Return the files that are not usable pictures, with the reason. Results are cached by file."""
    known: dict[str, str] = {}
    with suppress(OSError, ValueError, TypeError):  # no cache yet, or a damaged one
        known = dict(json.loads(_cache_file(paths).read_text(encoding="utf-8")))
    broken = {
        path: "not a regular file" if path.exists() else "a broken symbolic link"
        for path in paths
        if not path.is_file()
    }
    keys = {path: _key(path, min_size) for path in paths if path not in broken}
    new = [path for path, key in keys.items() if key not in known]
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:  # decoding releases the GIL
        warnings.simplefilter("ignore")
        known |= {
            keys[path]: why
            for path, why in zip(new, threads.map(partial(examine, min_size=min_size), new), strict=True)
        }
    reasons = {key: known[key] for key in keys.values()}
    broken |= {path: reasons[key] for path, key in keys.items() if reasons[key]}
    if new:
        with suppress(OSError):  # without a writable cache, pictures are decoded again next time
            cache = _cache_file(paths)
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(reasons), encoding="utf-8")
    return {path: broken[path] for path in paths if path in broken}


def _key(path: Path, min_size: int) -> str:
    """Return a text that changes whenever the file does."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{min_size}"


def examine(path: Path, min_size: int) -> str:
    """Return the reason why `path` cannot be used, or ""."""
    try:
        width, height = open_picture(path).size
    except Exception as error:  # a decoder may raise anything on a damaged file
        return why_broken(error)
    return f"{width} x {height} pixels" if min(width, height) < min_size else ""


def _cache_file(paths: Sequence[Path]) -> Path:
    """Return the cache file for all pictures below their common folder."""
    root = os.path.commonpath([path.resolve().parent for path in paths]) if paths else ""
    return user_cache("pictures") / f"{hashlib.sha256(root.encode()).hexdigest()[:32]}.json"
