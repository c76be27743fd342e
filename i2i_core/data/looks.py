"""Looks at files: each is decoded once, to find those that cannot be used and the sizes of the others."""

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
from typing import NamedTuple

from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.files import libraries, why_broken
from i2i_core.data.decoding.pngs import refuse_damaged
from i2i_core.data.fitting import extent
from i2i_core.data.user_cache import user_cache
from i2i_core.errors import I2IError
from i2i_core.interfaces import Format, Size


class Look(NamedTuple):
    """Result of decoding a file."""

    reason: str
    """The reason why it cannot be used, or ""."""
    size: Size | None = None
    """The height and width of its picture; None for other values and for broken files."""


def looks(paths: Sequence[Path], form: Format, min_size: int = 8) -> dict[Path, Look]:
    """Decode each file once, and return the results, which are cached by file."""
    known: dict[str, Look] = {}
    with suppress(OSError, ValueError, TypeError):  # no cache yet, or a damaged one
        cached = dict(json.loads(_cache_file(paths, form).read_text(encoding="utf-8")))
        known = {key: Look(reason, size and tuple(size)) for key, (reason, size) in cached.items()}
    missing = {
        path: Look("not a regular file" if path.exists() else "a broken symbolic link")
        for path in paths
        if not path.is_file()
    }
    keys = {path: _key(path, min_size) for path in paths if path not in missing}
    new = [path for path, key in keys.items() if key not in known]
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:  # decoding releases the GIL
        warnings.simplefilter("ignore")
        look = partial(examine, form=form, min_size=min_size)
        known |= {keys[path]: found for path, found in zip(new, threads.map(look, new), strict=True)}
    if new:
        with suppress(OSError):  # without a writable cache, files are decoded again next time
            cache = _cache_file(paths, form)
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps({key: known[key] for key in keys.values()}), encoding="utf-8")
    return {path: missing[path] if path in missing else known[keys[path]] for path in paths}


@BUDGET.turn()
def examine(path: Path, form: Format, min_size: int) -> Look:
    """Decode a file, and return the result."""
    try:
        refuse_damaged(path)
        size = extent(form.read(path))
    except I2IError:  # a library that is missing
        raise
    except Exception as error:  # a decoder may raise anything on a damaged file
        return Look(why_broken(error))
    if size and min(size) < min_size:
        return Look(f"{size[1]} x {size[0]} pixels, and each side needs {min_size}")
    return Look("", size)


def _key(path: Path, min_size: int) -> str:
    """Return a text that changes whenever the file does."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{min_size}"


def _cache_file(paths: Sequence[Path], form: Format) -> Path:
    """Return the cache file for all files of a format below their common folder."""
    root = os.path.commonpath([path.resolve().parent for path in paths]) if paths else ""
    digest = hashlib.sha256(os.fsencode(f"{root} {form} {libraries()}")).hexdigest()
    return user_cache("pictures") / f"{digest[:32]}.json"
