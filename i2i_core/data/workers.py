"""The lifetime of data workers: they end with the training process, not before.

A signal to a process group, such as Ctrl-C at a terminal, reaches data workers too; the training process still needs
them to finish its step.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker

HANDLED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
"""Signals that the training process handles, and its data workers leave to it."""
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def start_method() -> str:
    """Return the start method of data workers: "fork" where it is Python's default, else "spawn".

    "forkserver", Python 3.14's default on Linux, would import as much for each worker as "spawn".
    """
    return "fork" if multiprocessing.get_start_method() == "fork" else "spawn"


@contextmanager
def signals_wait() -> Iterator[None]:
    """Block these signals in this block; a process that is spawned in it keeps them blocked until `begin_work`."""
    if start_method() == "fork" or not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it in the block would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_work(_: int) -> None:
    """Initialise a data worker."""
    threading.Thread(target=_end_with_training, daemon=True).start()
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    with suppress(AttributeError, OSError, TypeError):  # Linux: a worker that is stopped or blocked ends, too
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(60))  # the training process may end its workers so, too
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _end_with_training() -> None:
    """End this worker when the training process is killed; torch's own check misses a parent that died early."""
    training = multiprocessing.parent_process()
    assert training is not None
    training.join()
    os._exit(1)
