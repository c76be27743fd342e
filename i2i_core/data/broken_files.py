"""Files that cannot be used, found by decoding each of them once."""

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

from i2i_core.data.pictures import why_broken
from i2i_core.data.sets import extent
from i2i_core.data.user_cache import user_cache
from i2i_core.errors import I2IError
from i2i_core.interfaces import Format


def find_broken(paths: Sequence[Path], form: Format, min_size: int = 8) -> dict[Path, str]:
    """Return the files that the format cannot read, with the reason. Results are cached by file."""
    known: dict[str, str] = {}
    with suppress(OSError, ValueError, TypeError):  # no cache yet, or a damaged one
        known = dict(json.loads(_cache_file(paths, form).read_text(encoding="utf-8")))
    broken = {
        path: "not a regular file" if path.exists() else "a broken symbolic link"
        for path in paths
        if not path.is_file()
    }
    keys = {path: _key(path, min_size) for path in paths if path not in broken}
    new = [path for path, key in keys.items() if key not in known]
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:  # decoding releases the GIL
        warnings.simplefilter("ignore")
        look = partial(examine, form=form, min_size=min_size)
        known |= {keys[path]: why for path, why in zip(new, threads.map(look, new), strict=True)}
    reasons = {key: known[key] for key in keys.values()}
    broken |= {path: reasons[key] for path, key in keys.items() if reasons[key]}
    if new:
        with suppress(OSError):  # without a writable cache, files are decoded again next time
            cache = _cache_file(paths, form)
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(reasons), encoding="utf-8")
    return {path: broken[path] for path in paths if path in broken}


def examine(path: Path, form: Format, min_size: int) -> str:
    """Return the reason why `path` cannot be used, or ""."""
    try:
        size = extent(form.read(path))
    except I2IError:  # a library that is missing
        raise
    except Exception as error:  # a decoder may raise anything on a damaged file
        return why_broken(error)
    return f"{size[1]} x {size[0]} pixels" if size and min(size) < min_size else ""


def _key(path: Path, min_size: int) -> str:
    """Return a text that changes whenever the file does."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{min_size}"


def _cache_file(paths: Sequence[Path], form: Format) -> Path:
    """Return the cache file for all files of a format below their common folder."""
    root = os.path.commonpath([path.resolve().parent for path in paths]) if paths else ""
    digest = hashlib.sha256(os.fsencode(f"{root} {form}")).hexdigest()
    return user_cache("pictures") / f"{digest[:32]}.json"
