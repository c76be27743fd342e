"""Python imports this as it starts where this folder is on its path: then the system knows nobody, so nobody's home."""

from __future__ import annotations

import pwd
from typing import Any


def unknown(user: Any) -> Any:
    raise KeyError(f"getpwuid(): uid not found: {user}")


pwd.getpwuid = pwd.getpwnam = unknown
