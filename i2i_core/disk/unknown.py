"""Files of unknown origin: opened only if they are regular ones, and read no further than a limit."""

from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import ExitStack
from pathlib import Path


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file for reading. Raises OSError, also for a pipe, a socket or a device, whose bytes may never end."""
    with ExitStack() as failed:
        file = failed.enter_context(open(path, "rb", opener=_opened))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        failed.pop_all()
    return file


def read_bytes(path: str | Path, most: int) -> bytes:
    """Read a file of at most so many bytes. Raises OSError, also for a larger file, of which no more is read."""
    with open_regular(path) as file:
        contents = b"" if (large := os.fstat(file.fileno()).st_size > most) else file.read(most + 1)
    if large or len(contents) > most:  # which grew while it was read
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return contents


def read_text(path: str | Path, most: int) -> str:
    """Read a text of at most so many bytes in UTF-8. Raises OSError as `read_bytes`, and UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(read_bytes(path, most)), encoding="utf-8").read()


def _opened(path: str, flags: int) -> int:
    """Open without waiting, as for the other end of a pipe; Windows has no such pipes."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
