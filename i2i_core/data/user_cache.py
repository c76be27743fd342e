"""The folder of the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(kind: str) -> Path:
    """Return the cache folder for files of one kind, such as "pixels": below XDG_CACHE_HOME, or else below ~/.cache.

    Raises FileNotFoundError if neither is known, as for a user without a home folder in a container.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache", "i2i", kind)
    except RuntimeError:
        raise FileNotFoundError("the user has no home folder") from None
