"""Signals to a run: SIGTERM, SIGHUP and Ctrl-C stop it, SIGUSR1 saves a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from i2i_core.training.batch_wait import ALARM

if TYPE_CHECKING:
    from i2i_core.training.run import Run

STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
SAVE = getattr(signal, "SIGUSR1", None)


class Terminated(BaseException):
    """A signal to stop before the run was built, when there is nothing to save."""


@contextmanager
def stop_signals(current: Callable[[], Run | None]) -> Iterator[None]:
    """Handle signals in this block: the run finishes its step and saves it, or saves and goes on.

    Before the run is built, and at a second Ctrl-C, the program stops at once. A signal that is ignored stays ignored,
    such as SIGHUP under nohup. current: returns the run, once built.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals only there
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        run = current()
        if number == signal.SIGINT and (run is None or run.stop_requested):
            raise KeyboardInterrupt
        if run is None:
            raise Terminated(signal.Signals(number).name)
        run.stop_requested = number
        run.wait.stop()

    def save(_: int, __: FrameType | None) -> None:
        if (run := current()) is not None:
            run.save_requested = True

    def give_up(_: int, __: FrameType | None) -> None:
        if (run := current()) is not None:
            run.wait.give_up()

    handlers = {**dict.fromkeys(STOPS, stop), SAVE: save, ALARM: give_up}
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
