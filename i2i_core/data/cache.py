"""The cache of decoded pictures: a data set at one size, in memory-mapped files that processes share."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
import warnings
import weakref
import zlib
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.files import libraries
from i2i_core.data.fitting import extent
from i2i_core.data.sets import SampledRecords
from i2i_core.data.user_cache import user_cache
from i2i_core.errors import DataError, DiskError, Problem, RecipeError, counted
from i2i_core.interfaces import Cacheable, Format, Size
from i2i_core.plan.fields import DOMAINS, PICTURE, role_of
from i2i_core.recipe.sections import Recipe

MOST_BYTES = 2_000_000_000
"""Greatest size of a cached picture in bytes; NumPy has no larger records."""
UNUSED = 30
"""Days without use after which a cache file is deleted; checked when a new one is written."""


class CachedField:
    """A field of all records of a domain, uncropped and resized to one size without keeping aspect ratios."""

    def __init__(self, path: Path, record: np.dtype[Any]) -> None:
        """Raises OSError if the file cannot be opened."""
        self.path, self.record = path, record
        self._handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)
        self.records = np.asarray(np.memmap(path, record, "r"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch has no read-only tensors; this one is never written to
            self._fitted, self._aspects = torch.from_numpy(self.records["fitted"]), self.records["aspect"]

    def at(self, index: int) -> tuple[Tensor, float]:
        """Return the fitted field of a record, and its aspect ratio. Raises DataError for a file that was cut.

        The size is asked for each time, which takes a microsecond: reading what a map lacks ends a process without a
        word, and reading files without a map takes four times as long.
        """
        self.refuse_cut()
        return self._fitted[index], float(self._aspects[index])

    def refuse_cut(self) -> None:
        """Raise DataError if the file has not all of its records any more."""
        if os.lseek(self._handle, 0, os.SEEK_END) < self.records.nbytes:
            raise DataError(f"the cache {self.path} was cut while it was in use; resume the run, which makes it again")

    def __reduce__(self) -> tuple[type[CachedField], tuple[object, ...]]:
        return CachedField, (self.path, self.record)  # a data worker opens the file, it is not sent to it


@dataclass(frozen=True)
class Cache:
    """Fields of records at the size (H, W), by domain and field."""

    size: Size
    files: Mapping[tuple[int, str], CachedField]

    def fitted(self, domain: int, index: int, field: str = PICTURE) -> tuple[Tensor, float]:
        """Return a field as its format fits it, with its channels last, (H, W, C), and its original width / height."""
        return self.files[domain, field].at(index)


def cache_of(records: SampledRecords, recipe: Recipe, wanted: Collection[str]) -> Cache | None:
    """Return the `wanted` batch fields cached at the size `data.cache`, or None if the recipe has no cache."""
    if (size := recipe.data.cache) is None:
        return None
    refuse_cache(records, recipe)
    return cached(records, size, {role_of(name)[0] for name in wanted if name not in DOMAINS})


def refuse_cache(records: SampledRecords, recipe: Recipe) -> None:
    """Raise RecipeError if the recipe has a cache that its data cannot have."""
    if (size := recipe.data.cache) is None:
        return
    problem = ""
    if not isinstance(records.dataset, Cacheable):
        problem = (
            f"pictures of {recipe.data.use} cannot be cached: it has no method fingerprint to detect changed pictures"
        )
    if recipe.data.fit == "patch":
        problem = "a cache resizes pictures, and fit: patch cuts parts of them without resizing"
    for y, name in enumerate(records.domains):
        height, width = records.layout(y).size
        if size[0] < height or size[1] < width:
            problem = (
                f"pictures of {size[0]} x {size[1]} pixels would be enlarged to the {height} x {width} of domain {name}"
            )
        if _bytes(records.format(y), size) > MOST_BYTES:
            problem = f"a picture of {size[0]} x {size[1]} pixels would take more than 2 GB"
    if problem:
        raise RecipeError([Problem(problem, recipe.mark("data", "cache"), "write another size, or leave cache out")])


def cached(records: SampledRecords, size: Size, fields: Collection[str] = (PICTURE,)) -> Cache:
    """Return fields of records at size (H, W) from the user's cache; decode and store them there if missing.

    A file whose size or checksums are wrong is replaced. Raises DiskError if the cache cannot be read or written.
    """
    return Cache(
        size,
        {
            (domain, field): _file(records, domain, field, size)
            for domain in range(len(records.domains))
            for field in sorted(fields)
        },
    )


def _file(records: SampledRecords, domain: int, field: str, size: Size) -> CachedField:
    assert isinstance(records.dataset, Cacheable)
    form, count = records.format(domain, field), records.count(domain)
    kind = f"{type(records.dataset).__module__}.{type(records.dataset).__qualname__}"
    key = f"{libraries()} {kind} {size} {count} {domain} {field} {form} {records.dataset.fingerprint()}"
    record = _record(form, size)
    with _keeping(Path("~/.cache")):
        path = user_cache("pixels") / hashlib.sha256(key.encode()).hexdigest()[:32]
    with _keeping(path):
        sound = _sound(path, count, record)
    if not sound:
        _make(path, record, records, domain, field, size)
    with suppress(OSError):  # the file of another user
        os.utime(path)
    with _keeping(path):
        return CachedField(path, record)


def _bytes(form: Format, size: Size) -> int:
    """Return the size of a picture in bytes, without making one of this size."""
    return form.example((1, 1), np.random.default_rng(0)).nbytes * size[0] * size[1]


def _record(form: Format, size: Size) -> np.dtype[Any]:
    """Return the type of a record in a file. Spatial values have their channels last, which is faster to crop."""
    fitted = _channels_last(form.example(size, np.random.default_rng(0)).numpy())
    return np.dtype([("crc", "<u8"), ("aspect", "<f8"), ("fitted", fitted.dtype, fitted.shape)])


def _channels_last(fitted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return fitted.transpose(1, 2, 0) if fitted.ndim == 3 else fitted


def _checksum(record: Any) -> int:
    return zlib.crc32(record["fitted"], zlib.crc32(record["aspect"].tobytes()))


def _sound(path: Path, count: int, record: np.dtype[Any]) -> bool:
    if not path.is_file() or path.stat().st_size != count * record.itemsize:
        return False
    file = CachedField(path, record)

    def sound(found: Any) -> bool:
        file.refuse_cut()
        return bool(found["crc"] == _checksum(found))

    try:
        with ThreadPoolExecutor() as threads:
            return all(threads.map(sound, file.records))
    except DataError:
        return False


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


def _make(path: Path, record: np.dtype[Any], records: SampledRecords, domain: int, field: str, size: Size) -> None:
    """Decode all records into a temporary file and rename it, so that no incomplete file is ever found."""
    writing, count, form = Lock(), records.count(domain), records.format(domain, field)
    what = "pictures" if field == PICTURE else field
    warnings.warn(
        f"decoding {what} of {counted(count, 'record')} of {records.domains[domain]} once, to cache them at "
        f"{size[0]} x {size[1]} pixels ({count * record.itemsize / 1e6:,.0f} MB) in {path}",
        stacklevel=3,
    )

    @BUDGET.turn()
    def keep(number: int) -> None:
        value = records.values(domain, number, (field,), np.random.default_rng(0))[field]
        height, width = extent(value) or (1, 1)
        made = np.zeros((), record)
        made["aspect"], made["fitted"] = width / height, _channels_last(form.fit(value, size).numpy())
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
                for _ in threads.map(keep, range(count)):
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
