"""Stopping of a run: signals, and a launcher that has died."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from i2i_core.training.run import Run


class Terminated(BaseException):
    """A SIGTERM before the run was built, when there is nothing to save."""


@contextmanager
def stop_signals(current: Callable[[], Run | None]) -> Iterator[None]:
    """Handle SIGTERM and Ctrl-C in this block: the run finishes its step and saves it.

    Before the run is built, and at a second Ctrl-C, the program stops at once. current: returns the run, once built.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals only there
        yield
        return

    def handler(number: int, _: FrameType | None) -> None:
        run = current()
        if number == signal.SIGINT and (run is None or run.stop_requested):
            raise KeyboardInterrupt
        if run is None:
            raise Terminated
        run.stop_requested = number

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def watch_parent() -> None:
    """End this process when its parent dies; otherwise the processes of a killed torchrun would run for ever.

    Has no effect on Windows, where a process keeps the id of a dead parent.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
