"""The life of a data worker: it ends with the training process, and no sooner.

A signal to a whole group (Ctrl-C at a terminal) reaches data workers too, and the training process needs them to end
its step.
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
    """Fork where Python does so by default, else start a new Python, which has to import everything.

    A server that forks, Python 3.14's default on Linux, would import as much for each worker.
    """
    return "fork" if multiprocessing.get_start_method() == "fork" else "spawn"


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let signals wait for the end of this block, and in a Python that is started in it for `begin_work`."""
    if start_method() == "fork" or not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    resource_tracker.ensure_running()  # to start it in the block would end the waiting
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_work(_: int) -> None:
    """Set a data worker up."""
    threading.Thread(target=_end_with_training, daemon=True).start()
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(60))  # it may also be the training process that ends them
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _end_with_training() -> None:
    """End when the training process is killed: torch asks who started this one too late, if that is gone by then."""
    training = multiprocessing.parent_process()
    assert training is not None
    training.join()
    os._exit(1)
