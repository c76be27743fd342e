"""Atomic writes of files and folders, and errors of the disk."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from i2i_core.errors import DiskError, DiskFull, UsageError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert an OSError in this block into a DiskError about `path`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> DiskError:
    """Return a failed write as a DiskError, or as a DiskFull."""
    if error.errno in FULL:
        return DiskFull(f"no space left for {path}; free some")
    return DiskError(f"{path} cannot be written: {error.strerror or error}")


def write_file(path: Path, content: str | bytes) -> None:
    """Write a small file atomically; create its folder if needed. Raises DiskError, also for a name that is no text."""
    beside = path.with_name(f".{path.name}.new")
    try:
        contents = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        line = next(line for line in str(content).splitlines() if re.search("[\ud800-\udfff]", line)).strip()
        raise DiskError(f"{path} cannot be written: {line} names a file that is no text in UTF-8; rename it") from error
    with writing(path):
        try:
            write_synced(beside, contents)
            os.replace(beside, path)
            sync_folder(path.parent)
        except BaseException:  # a full disk, Ctrl-C
            with suppress(OSError):
                beside.unlink()
            raise


def append_line(path: Path, line: str) -> None:
    """Append a line to a text file, and fsync it: a checkpoint that is saved later needs it. Raises DiskError."""
    with writing(path), open(path, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and fsync it; create its folder if needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Fsync the entries of a folder. Raises OSError."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Provide a temporary folder that replaces `folder` at the end of the block, atomically. Raises DiskError."""
    folder = folder.resolve()  # replace the folder, not a symbolic link to it
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
            if old.exists() and not folder.exists():  # stopped between the two renames
                os.rename(old, folder)
            shutil.rmtree(stage, ignore_errors=True)


def need_text(path: Path) -> None:
    """Raise UsageError for a name with bytes that are no text in UTF-8: no file of weights could be read there."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise UsageError(f"the name {path} is no text in UTF-8; choose another folder, or rename it") from None
