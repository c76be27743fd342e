"""Python imports this as it starts where this folder is on its path: a Python of Linux then lacks what Windows lacks.

What replaces the missing parts there is used here too: data workers are spawned, no folder is opened, and no file that
is in use is renamed or deleted.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

import psutil  # noqa: F401  # before its own needs are gone: it has others on Windows

for module in ("resource", "fcntl", "pwd", "grp"):
    sys.modules[module] = None  # type: ignore[assignment]
for name in (
    "fork",
    "forkpty",
    "getpgid",
    "getuid",
    "geteuid",
    "getgid",
    "killpg",
    "mkfifo",
    "pread",
    "pwrite",
    "sched_getaffinity",
    "setsid",
    "statvfs",
    "sysconf",
):
    delattr(os, name)
for name in ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGXCPU", "alarm", "pthread_sigmask", "setitimer"):
    delattr(signal, name)
multiprocessing.set_start_method("spawn")
shutil._use_fd_functions = False  # type: ignore[attr-defined]


class CDLL(ctypes.CDLL):
    def __init__(self, name: str | None, *arguments: Any, **keywords: Any) -> None:
        if name is None:
            raise TypeError("argument of type 'NoneType' is not iterable")
        super().__init__(name, *arguments, **keywords)


def open_(path: Any, *arguments: Any, _open: Callable[..., int] = os.open, **keywords: Any) -> int:
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return _open(path, *arguments, **keywords)


def closed_only(change: Callable[..., None]) -> Callable[..., None]:
    """`change`, which renames or deletes a file, for one that this process neither has open nor maps."""

    def changed(path: Any, *arguments: Any, **keywords: Any) -> None:
        real, used = os.path.realpath(path), []
        for number in os.listdir("/proc/self/fd"):
            try:
                used.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:  # the one by which it was listed
                continue
        with open("/proc/self/maps") as lines:
            used += [line.rstrip("\n").split(maxsplit=5)[-1] for line in lines]
        if any(file == real or file.startswith(f"{real}/") for file in used):
            raise PermissionError(13, "The process cannot access the file because it is being used", path)
        change(path, *arguments, **keywords)

    return changed


ctypes.CDLL = CDLL  # type: ignore[misc]
os.open = open_
os.rename, os.replace, os.unlink, os.remove = map(closed_only, (os.rename, os.replace, os.unlink, os.remove))
