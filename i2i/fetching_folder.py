"""The folder in which the files of a hub collect until all of them are verified."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from i2i.fetching import Unreachable
from i2i_core.data.user_cache import user_cache
from i2i_core.disk.files import writing
from i2i_core.errors import DiskFull, Locked

WAIT = 60.0
"""Seconds in which another process that fetches the same has to make progress."""


@contextmanager
def stage(root: Path, sha: str) -> Iterator[Path]:
    """Provide a folder for the files of a commit, which only this user may open, to one process at a time.

    It goes at the end of the block, and with whatever is refused; what arrived before an interruption is kept. Raises
    DiskError, and Locked.
    """
    with _claimed(root), writing(root):
        _make_private(root)
        for other in root.iterdir():
            if other.name != sha:
                shutil.rmtree(other)
        (root / sha).mkdir(exist_ok=True)
        try:
            yield root / sha
        except (Unreachable, KeyboardInterrupt):
            raise
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        shutil.rmtree(root, ignore_errors=True)


def _make_private(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    others = hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o077)
    if not stat.S_ISDIR(about.st_mode) or others:
        raise FileExistsError(0, "it exists and is not a private folder of this user; remove it")


@contextmanager
def _claimed(root: Path) -> Iterator[None]:
    """Hold a lock for a folder that may not exist; wait for another process while more bytes arrive there."""
    try:
        folder = user_cache("locks")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # without a home folder there is no lock; what two processes mix up does not match its checksum
        yield
        return
    lock, seen = filelock.FileLock(folder / hashlib.sha256(os.fsencode(root)).hexdigest()[:32]), -1
    while not lock.is_locked:
        try:
            lock.acquire(timeout=WAIT)
        except filelock.Timeout:
            if (now := _bytes(root)) == seen:
                raise Locked(f"another process writes {root} without progress; end it, and run this again") from None
            seen = now
    try:
        yield
    finally:
        lock.release()


def _bytes(folder: Path) -> int:
    with suppress(OSError):  # while the other process moves files
        return sum(path.lstat().st_size for path in folder.rglob("*"))
    return 0


def need_space(folder: Path, size: int) -> None:
    """Raise DiskFull if the disk of a folder has no space for `size` bytes."""
    if size > (free := shutil.disk_usage(folder).free):
        raise DiskFull(f"no space left for {folder}: it needs {size:,} bytes, and {free:,} are free")
