"""Files that are wholly there or not at all, and what a failed write means."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from i2i_core.errors import DiskError, DiskFull

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What fails to write in this block raises a DiskError about `path`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> DiskError:
    """What a failed write means to a user."""
    if error.errno in FULL:
        return DiskFull(f"no space left for {path}; free some")
    return DiskError(f"{path} cannot be written: {error.strerror or error}")


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a small file in one step, making its folder if needed; raises DiskError."""
    beside = path.with_name(f".{path.name}.new")
    with writing(path):
        try:
            write_synced(beside, content.encode() if isinstance(content, str) else content)
            os.replace(beside, path)
        except BaseException:  # a full disk, Ctrl-C
            with suppress(OSError):
                beside.unlink()
            raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file; raises DiskError."""
    with writing(path), open(path, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, making its folder if needed, and wait until it is on the disk; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; raises OSError."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to fill, which then becomes `folder`, in place of one that is there; raises DiskError."""
    folder = folder.resolve()  # not a link to it
    stage, old = (folder.with_name(f".{what}-{folder.name}") for what in ("stage", "old"))
    with writing(folder):
        try:
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(parents=True)
            yield stage
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                os.rename(folder, old)
            os.rename(stage, folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            if old.exists() and not folder.exists():  # stopped between the two
                os.rename(old, folder)
            shutil.rmtree(stage, ignore_errors=True)
