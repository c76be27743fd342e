"""The cache of decoded pictures: a data set at one size, in one memory-mapped file that processes share."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import PIL
import torch
from PIL.Image import Resampling
from torch import Tensor

from i2i_core.data.user_cache import user_cache
from i2i_core.errors import DiskError, Problem, RecipeError
from i2i_core.interfaces import CacheableDataset, Dataset
from i2i_core.recipe.sections import Recipe

UNUSED = 30
"""Days without use after which a cache file is deleted; checked when a new one is written."""


class Cache:
    """All pictures of a data set, uncropped and resized to one size without keeping their aspect ratios."""

    def __init__(self, path: Path, counts: tuple[int, ...], size: tuple[int, int]) -> None:
        self.path, self.counts, self.size = path, counts, size
        self.firsts = np.cumsum((0, *counts)).tolist()
        records = np.asarray(np.memmap(path, _record(size), "r"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch has no read-only tensors; this one is never written to
            self.pixels, self.aspects = torch.from_numpy(records["pixels"]), records["aspect"]

    def __reduce__(self) -> tuple[type[Cache], tuple[object, ...]]:
        return Cache, (self.path, self.counts, self.size)  # a data worker opens the file, it is not sent to it

    def picture(self, domain: int, index: int) -> tuple[Tensor, float]:
        """Return a picture, uint8 (H, W, 3), and its original width / height."""
        place = self.firsts[domain] + index
        return self.pixels[place], float(self.aspects[place])


def cache_of(data: Dataset, recipe: Recipe) -> Cache | None:
    """Return the training pictures cached at the size `data.cache`, or None if the recipe has none."""
    if recipe.data.cache is None:
        return None
    if not isinstance(data, CacheableDataset):
        raise RecipeError(
            [
                Problem(
                    f"pictures of {recipe.data.use} cannot be cached: it has no method fingerprint to "
                    f"detect changed pictures",
                    recipe.mark("data", "cache"),
                    "leave cache out",
                )
            ]
        )
    return cached(data, recipe.data.cache)


def cached(dataset: CacheableDataset, size: tuple[int, int]) -> Cache:
    """Return the pictures of `dataset` at size (H, W) from the user's cache; decode and store them there if missing.

    A file whose size or checksums are wrong is replaced. Raises DiskError if the cache cannot be read or written.
    """
    counts = tuple(dataset.count(domain) for domain in range(len(dataset.domains)))
    kind = f"{type(dataset).__module__}.{type(dataset).__qualname__}"
    key = f"{PIL.__version__} {kind} {size} {counts} {dataset.fingerprint()}"
    with _keeping(Path("~/.cache")):
        path = user_cache("pixels") / hashlib.sha256(key.encode()).hexdigest()[:32]
    with _keeping(path):
        sound = _sound(path, sum(counts), size)
    if not sound:
        _make(path, dataset, counts, size)
    with suppress(OSError):  # the file of another user
        os.utime(path)
    return Cache(path, counts, size)


def _record(size: tuple[int, int]) -> np.dtype[Any]:
    return np.dtype([("crc", "<u8"), ("aspect", "<f8"), ("pixels", "u1", (*size, 3))])


def _checksum(record: Any) -> int:
    return zlib.crc32(record["pixels"], zlib.crc32(record["aspect"].tobytes()))


def _sound(path: Path, count: int, size: tuple[int, int]) -> bool:
    record = _record(size)
    if not path.is_file() or path.stat().st_size != count * record.itemsize:
        return False
    with ThreadPoolExecutor() as threads:
        return all(threads.map(lambda found: found["crc"] == _checksum(found), np.memmap(path, record, "r")))


@contextmanager
def _keeping(path: Path) -> Iterator[None]:
    """Convert an OSError in this block into a DiskError that says what to do."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"pictures cannot be cached in {path}: {error.strerror or error} (free some space, set "
            f"XDG_CACHE_HOME to another folder, or leave data.cache out)"
        ) from error


def _make(path: Path, dataset: CacheableDataset, counts: tuple[int, ...], size: tuple[int, int]) -> None:
    """Decode all pictures into a temporary file and rename it, so that no incomplete file is ever found."""
    record, places = _record(size), [(y, i) for y, count in enumerate(counts) for i in range(count)]
    writing = Lock()
    warnings.warn(
        f"decoding {len(places):,} pictures once, to cache them at {size[0]} x {size[1]} pixels "
        f"({len(places) * record.itemsize / 1e6:,.0f} MB) in {path}",
        stacklevel=3,
    )

    def keep(number: int) -> None:
        picture = dataset.picture(*places[number])
        resized = picture.resize(size[::-1], Resampling.BILINEAR)
        made = np.zeros((), record)
        made["aspect"], made["pixels"] = picture.width / picture.height, resized
        made["crc"] = _checksum(made)
        with _keeping(path), writing:
            file.seek(number * record.itemsize)
            if file.write(made.tobytes()) < record.itemsize:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with _keeping(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean(path.parent)
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb", buffering=0) as file:
            with ThreadPoolExecutor() as threads:  # decoding releases the GIL
                for _ in threads.map(keep, range(len(places))):
                    pass
            with _keeping(path):
                os.fsync(handle)
        with _keeping(path):
            os.replace(beside, path)
    finally:
        Path(beside).unlink(missing_ok=True)


def _clean(folder: Path) -> None:
    """Delete cache files, and temporary files of killed processes, that are older than UNUSED days."""
    for file in folder.iterdir():
        with suppress(OSError):
            if file.stat().st_mtime < time.time() - UNUSED * 24 * 3600:
                file.unlink()
