"""How a run is told to stop: signals, and a launcher that is gone."""

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
    """A SIGTERM before there is anything to save."""


@contextmanager
def stop_signals(current: Callable[[], Run | None]) -> Iterator[None]:
    """Let SIGTERM and the first Ctrl-C end the step, which is then saved; before there is a run they stop at once."""
    if threading.current_thread() is not threading.main_thread():  # Python hears signals there only
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
    """End this process when its parent is gone: a killed torchrun would leave its workers running for ever.

    Windows does not tell a process that its parent is gone, so there they run on.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
