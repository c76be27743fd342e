"""Puts every operation on files below a folder through one function, which may let it happen, fail it, or kill.

It is installed in a process that is about to train. Python's own `_pyio` takes the place of `open`, since all that it
does goes through the functions of `os` that are replaced here. What compiled code does by itself is not seen: it reads
files (safetensors, pictures), and writes none of a run.
"""

from __future__ import annotations

import _pyio
import builtins
import io
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ON_FILES = ("write", "fsync", "ftruncate", "read")
ON_PATHS = ("open", "mkdir", "unlink", "rmdir", "truncate", "scandir")
ON_TWO_PATHS = ("rename", "replace")


@dataclass
class Operation:
    """One call: its name, the path, and what else it was given."""

    name: str
    path: str
    to: str = ""
    """The new path of a rename."""
    file: int = -1
    flags: int = 0
    data: bytes = b""
    place: int = 0
    """The place at which data is written, or the size to which a file is cut."""
    failed: bool = False

    @property
    def changes(self) -> bool:
        """True if the operation changes the disk or its durability."""
        return self.name not in ("read", "scandir", "close") and (self.name != "open" or self.writes)

    @property
    def writes(self) -> bool:
        return bool(self.flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))

    def __str__(self) -> str:
        short = "/".join(Path(self.path).parts[-2:])
        return f"{self.name} {short}" + (f" to {Path(self.to).name}" if self.to else "")


Act = Callable[[Operation, Callable[[], Any]], Any]
"""Called instead of each operation, with what does it."""


def watch(root: Path, act: Act) -> None:
    """Give every operation below `root` of this process to `act`."""
    real = {name: getattr(os, name) for name in (*ON_FILES, *ON_PATHS, *ON_TWO_PATHS, "close", "remove")}
    paths: dict[int, str] = {}  # of open files
    below = os.path.realpath(root)

    def path_of(path: Any, folder: int | None = None) -> str:
        if isinstance(path, int):
            return paths.get(path, "")
        within = paths.get(folder, "/") if folder is not None else os.getcwd()
        return os.path.normpath(os.path.join(within, os.fspath(path)))

    def ours(path: str) -> bool:
        return path == below or path.startswith(below + os.sep)

    def on_file(name: str, file: int, *rest: Any) -> Any:
        do = partial(real[name], file, *rest)
        if file not in paths:
            return do()
        operation = Operation(name, paths[file], file=file)
        if name == "write":
            operation.data = bytes(rest[0])
            operation.place = os.lseek(file, 0, os.SEEK_CUR)
        elif name == "ftruncate":
            operation.place = rest[0]
        return act(operation, do)

    def on_path(name: str, path: Any = ".", *rest: Any, **options: Any) -> Any:
        do = partial(real[name], path, *rest, **options)
        whole = path_of(path, options.get("dir_fd"))
        return act(Operation(name, whole), do) if ours(whole) else do()

    def on_two_paths(name: str, path: Any, to: Any, **options: Any) -> Any:
        do = partial(real[name], path, to, **options)
        whole, there = path_of(path, options.get("src_dir_fd")), path_of(to, options.get("dst_dir_fd"))
        return act(Operation("rename", whole, there), do) if ours(whole) else do()

    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        whole = path_of(path, dir_fd)

        def do() -> int:
            file: int = real["open"](path, flags, mode, dir_fd=dir_fd)
            if ours(whole):
                paths[file] = whole
            return file

        made: int = act(Operation("open", whole, flags=flags), do) if ours(whole) else do()
        return made

    def closed(file: int) -> None:
        if paths.pop(file, None) is not None:
            act(Operation("close", "", file=file), lambda: None)
        real["close"](file)

    for name in ON_FILES:
        setattr(os, name, partial(on_file, name))
    for name in ON_PATHS:
        setattr(os, name, partial(on_path, name))
    for name in ON_TWO_PATHS:
        setattr(os, name, partial(on_two_paths, name))
    os.remove = os.unlink
    os.open, os.close = opened, closed
    builtins.open = io.open = _pyio.open


def numbered(operations: Iterable[Operation]) -> list[Operation]:
    """Return the operations as they are numbered: without the closing of files, which does nothing to the disk."""
    return [operation for operation in operations if operation.name != "close"]


def _numbering(act: Callable[[int, Operation, Callable[[], Any]], Any]) -> Act:
    """Tell `act` the number of each operation, from 0."""
    count = -1

    def counting(operation: Operation, do: Callable[[], Any]) -> Any:
        nonlocal count
        if operation.name == "close":
            return do()
        count += 1
        return act(count, operation, do)

    return counting


@dataclass
class Fail:
    """Fails operation number `number` (from 0) with an error of the system."""

    root: Path
    number: int
    error: int

    def __call__(self) -> None:
        def act(number: int, operation: Operation, do: Callable[[], Any]) -> Any:
            if number == self.number:
                raise OSError(self.error, os.strerror(self.error), operation.path)
            return do()

        watch(self.root, _numbering(act))


@dataclass
class Kill:
    """Kills the process before its operation number `number`, or in the middle of it if it is a write."""

    root: Path
    number: int

    def __call__(self) -> None:
        write = os.write

        def act(number: int, operation: Operation, do: Callable[[], Any]) -> Any:
            if number == self.number:
                if operation.name == "write":
                    write(operation.file, operation.data[: len(operation.data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return do()

        watch(self.root, _numbering(act))


@dataclass
class Record:
    """Writes down every operation in a file outside of `root`."""

    root: Path
    log: Path

    def __call__(self) -> None:
        log, write = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.write

        def act(operation: Operation, do: Callable[[], Any]) -> Any:
            operation.failed = True
            try:
                done = do()
                operation.failed = False
                if operation.name == "open":
                    operation.file = done
                return done
            finally:
                write(log, pickle.dumps(operation))

        watch(self.root, act)


def recorded(log: Path) -> list[Operation]:
    """Read what Record wrote."""
    return list(_loaded(log))


def _loaded(log: Path) -> Iterator[Operation]:
    with open(log, "rb") as file:
        while file.peek(1):
            yield pickle.load(file)
