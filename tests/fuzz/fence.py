"""A fence around one call: what it opens, imports, starts, and takes of time and memory.

An audit hook of Python cannot be removed, so there is one for the process, which looks only inside of a fence.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

if not hasattr(signal, "setitimer"):
    pytest.skip("this system limits no CPU time", allow_module_level=True)
SECONDS, MEMORY = 2.0, 512 * 2**20
"""The most that a call may take: seconds of CPU time, and bytes at its peak beyond those before it."""
FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn", "subprocess.Popen",
    "socket.connect", "socket.bind", "urllib.Request", "webbrowser.open", "ctypes.dlopen",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.putenv", "os.kill", "shutil.rmtree", "shutil.copyfile", "shutil.move",
)  # fmt: skip
"""Events of sys.audit that no stranger's data may cause."""
ROOTS = tuple({os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, Path(__file__).parents[2])})
"""Folders of Python, its packages and this project: code may be read there."""
DEVICES = ("/dev/", "/proc/", "/sys/", "/etc/localtime", "/usr/share/zoneinfo")


class TooLong(BaseException):
    """A call that takes more CPU time than it may."""


class Fence:
    """What a call did that it should not have."""

    def __init__(self, folder: Path, packages: frozenset[str], fetches: bool) -> None:
        """folder: what the call may read besides code. packages: the modules at the top level that it may import.

        fetches: whether it may connect to a server, and write in `folder`.
        """
        self.folder, self.packages, self.fetches = os.path.realpath(folder), packages, fetches
        self.broken: list[str] = []

    def look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            if not (_is_library(event, arguments) or (self.fetches and self._is_own(event, arguments))):
                self.broken.append(f"{event} {arguments}")
        elif event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes | os.PathLike):
                self._look_at_file(os.fsdecode(path), str(mode or ""), flags if isinstance(flags, int) else 0)
        elif event == "import":
            name = str(arguments[0])
            if name not in sys.modules and name.partition(".")[0] not in self.packages:
                self.broken.append(f"import of {name}")

    def _look_at_file(self, path: str, mode: str, flags: int) -> None:
        writes = any(letter in mode for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        place, inside = os.path.realpath(path), self._is_inside(path)
        if writes and not place.startswith(DEVICES) and not (inside and self.fetches):
            self.broken.append(f"write of {path}")
        elif not inside and not place.startswith(DEVICES) and not any(place.startswith(root) for root in ROOTS):
            self.broken.append(f"read of {path}")

    def _is_own(self, event: str, arguments: tuple[Any, ...]) -> bool:
        """Return True for a connection, and for a change of files of its folder."""
        folders = [f"/proc/self/fd/{number}" for number in arguments if type(number) is int and number > 2]
        base = folders[0] if folders and os.path.isdir(folders[0]) else ""
        paths = [os.path.join(base, path) for path in arguments if isinstance(path, str | os.PathLike)]
        return event == "socket.connect" or bool(paths and all(map(self._is_inside, paths)))

    def _is_inside(self, path: str | os.PathLike[str]) -> bool:
        return f"{os.path.realpath(path)}{os.sep}".startswith(f"{self.folder}{os.sep}")


def _is_library(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return True for the libraries of packages, which are loaded when they are first used."""
    return event == "ctypes.dlopen" and (not arguments[0] or any(str(arguments[0]).startswith(root) for root in ROOTS))


_inside: list[Fence] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _inside and (event in ("open", "import") or event in FORBIDDEN):
        fence = _inside.pop()  # looking opens nothing, but a path may be resolved
        try:
            fence.look(event, arguments)
        finally:
            _inside.append(fence)


sys.addaudithook(_audit)
PACKAGES = frozenset(sys.stdlib_module_names)


@contextmanager
def fenced(
    folder: Path, packages: frozenset[str] = frozenset(), *, fetches: bool = False, memory: int = MEMORY
) -> Iterator[None]:
    """Run a block in a fence, whose arguments are those of `Fence`. Raises AssertionError that says what it did."""
    known = PACKAGES | packages | {name.partition(".")[0] for name in sys.modules}
    fence = Fence(folder, known, fetches)
    before, began = _reset_peak(), time.process_time()

    def too_long(_: int, __: FrameType | None) -> None:
        raise TooLong

    old = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    _inside.append(fence)
    try:
        yield
    except TooLong:
        pass
    finally:
        _inside.clear()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
        took, peak = time.process_time() - began, _peak() - before
    assert not fence.broken, fence.broken
    assert took < SECONDS, f"it took {took:.1f} seconds"
    assert peak < memory, f"it took {peak / 2**20:,.0f} MiB"


def _reset_peak() -> int:
    """Set the peak of this process to its memory now, and return that; 0 on systems that do not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _peak()


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
