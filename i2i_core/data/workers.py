"""The lifetime of data workers: they end with the training process, not before.

A signal to a process group, such as Ctrl-C at a terminal, reaches data workers too; the training process still needs
them to finish its step.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

STOPS = (signal.SIGINT, signal.SIGTERM)


def start_method() -> str:
    """Return the start method of data workers: "fork" where it is Python's default, else "spawn".

    "forkserver", Python 3.14's default on Linux, would import as much for each worker as "spawn".
    """
    return "fork" if multiprocessing.get_start_method() == "fork" else "spawn"


@contextmanager
def signals_wait() -> Iterator[None]:
    """Block SIGINT and SIGTERM in this block; a process that is spawned in it keeps them blocked until `begin_work`."""
    if start_method() == "fork" or not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it in the block would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_work(_: int) -> None:
    """Initialise a data worker."""
    threading.Thread(target=_end_with_training, daemon=True).start()
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(60))  # the training process may end its workers so, too
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _end_with_training() -> None:
    """End this worker when the training process is killed; torch's own check misses a parent that died early."""
    training = multiprocessing.parent_process()
    assert training is not None
    training.join()
    os._exit(1)
