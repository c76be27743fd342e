"""A disk that forgets: what may be left of recorded operations when the power fails.

The contents of a file are safe up to its last fsync. Of what was written later, any beginning may be there, torn
between two sectors, with zeros or the data before in place of the rest. A name (made, renamed, deleted) is safe once
its folder was fsynced; of the later changes of a folder, the first few may be there. A rename within a folder happens
wholly or not at all. That is what POSIX promises. A file system with a journal (ext4, XFS, Btrfs) promises more: names
change in the order of the operations, whatever the folder, and any fsync makes all changes of names before it safe.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

from .disk import Operation

SECTOR = 512
Change: TypeAlias = "tuple[int, bytes | None]"
"""Data at a place; None stands for a new size."""
Names: TypeAlias = "dict[str, File | Folder | None]"
"""None stands for a name that is taken away."""


@dataclass
class File:
    """The contents that are safe, and the changes since."""

    safe: bytes = b""
    later: list[Change] = field(default_factory=list)

    def after(self, changes: Iterable[Change]) -> bytes:
        """Return the safe contents with these changes."""
        data = bytearray(self.safe)
        for place, written in changes:
            if written is None:
                data[place:] = bytes(max(place - len(data), 0))
            else:
                data.extend(bytes(max(place - len(data), 0)))
                data[place : place + len(written)] = written
        return bytes(data)

    def sync(self) -> None:
        self.safe, self.later = self.after(self.later), []

    def left(self, random: Random) -> bytes:
        """Return contents that a cut may leave."""
        changes = self.later[: random.randint(0, len(self.later))]
        before, after = self.after(changes[:-1]), self.after(changes)
        if after == before or random.random() < 0.5:
            return after
        start = changes[-1][0]  # what is before it was not touched
        torn = max(start, random.randint(min(start, len(after)), len(after)) // SECTOR * SECTOR)
        return after[:torn] + (bytes(len(after) - torn) if random.random() < 0.5 else before[torn:])


@dataclass
class Folder:
    """The names that are safe, and the changes since, each with the number of its operation."""

    safe: Names = field(default_factory=dict)
    later: list[tuple[int, Names]] = field(default_factory=list)

    def after(self, changes: Iterable[tuple[int, Names]]) -> dict[str, File | Folder]:
        """Return the safe names with these changes."""
        found = dict(self.safe)
        for _, change in changes:
            found.update(change)
        return {name: node for name, node in found.items() if node is not None}

    def sync(self) -> None:
        self.safe, self.later = {**self.after(self.later)}, []


class Disk:
    """The folder `root` and all that is below it, as a process changes it."""

    def __init__(self, root: Path, before: Path | None, journal: bool) -> None:
        """before: a folder like `root` before the process, all of it safe; None: there was none.

        journal: whether the file system has one.
        """
        self.root, self.journal = os.path.realpath(root), journal
        self.top = _loaded(before) if before else Folder()
        self._open_files: dict[int, File | Folder] = {}
        self._number = self._synced = 0

    def do(self, operation: Operation) -> None:
        """Repeat an operation of the process."""
        self._number += 1
        if not operation.failed and operation.name not in ("read", "scandir"):
            getattr(self, f"_{operation.name}")(operation)

    def cut(self, to: Path, random: Random) -> None:
        """Write what a power cut may leave to a new folder."""
        until = random.randint(self._synced, self._number)

        def write(folder: Folder, path: Path) -> None:
            path.mkdir()
            if self.journal:
                changes = [change for change in folder.later if change[0] <= until]
            else:
                changes = folder.later[: random.randint(0, len(folder.later))]
            for name, node in folder.after(changes).items():
                if isinstance(node, Folder):
                    write(node, path / name)
                else:
                    (path / name).write_bytes(node.left(random))

        write(self.top, to)

    def _at(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self.top
        inner = os.path.relpath(path, self.root)
        for name in () if inner == "." else inner.split(os.sep):
            node = node.after(node.later).get(name) if isinstance(node, Folder) else None
        return node

    def _change(self, folder: str, names: Names) -> None:
        within = self._at(folder)
        if isinstance(within, Folder):
            within.later.append((self._number, names))

    def _mkdir(self, operation: Operation) -> None:
        if operation.path != self.root:
            self._change(os.path.dirname(operation.path), {os.path.basename(operation.path): Folder()})

    def _unlink(self, operation: Operation) -> None:
        self._change(os.path.dirname(operation.path), {os.path.basename(operation.path): None})

    _rmdir = _unlink

    def _rename(self, operation: Operation) -> None:
        (folder, old), (other, new) = os.path.split(operation.path), os.path.split(operation.to)
        node = self._at(operation.path)
        self._change(folder, {old: None} | ({new: node} if folder == other else {}))
        if folder != other:  # two changes, of which a file system without a journal may lose either
            self._change(other, {new: node})

    def _open(self, operation: Operation) -> None:
        node = self._at(operation.path)
        if node is None:
            node = File()
            self._change(os.path.dirname(operation.path), {os.path.basename(operation.path): node})
        elif isinstance(node, File) and operation.flags & os.O_TRUNC:
            node.later.append((0, None))
        self._open_files[operation.file] = node

    def _close(self, operation: Operation) -> None:
        self._open_files.pop(operation.file)

    def _write(self, operation: Operation) -> None:
        self._append(operation, (operation.place, operation.data))

    def _ftruncate(self, operation: Operation) -> None:
        self._append(operation, (operation.place, None))

    def _append(self, operation: Operation, change: Change) -> None:
        file = self._open_files[operation.file]
        assert isinstance(file, File)
        file.later.append(change)

    def _fsync(self, operation: Operation) -> None:
        self._open_files[operation.file].sync()
        self._synced = self._number


def _loaded(folder: Path) -> Folder:
    return Folder({p.name: _loaded(p) if p.is_dir() else File(p.read_bytes()) for p in folder.iterdir()})
