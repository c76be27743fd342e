"""The user's cache: files that save time, and that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(kind: str) -> Path:
    """The folder for files of one kind, such as "pixels": below XDG_CACHE_HOME, else below ~/.cache.

    Raises FileNotFoundError where neither is known: a container may run as a user who has no home.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache", "i2i", kind)
    except RuntimeError:
        raise FileNotFoundError("the user has no home folder") from None
