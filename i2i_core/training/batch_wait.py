"""The wait for the next batch, and its end by a signal to stop."""

from __future__ import annotations

import signal

from i2i_core.errors import Unsaved

ALARM = getattr(signal, "SIGALRM", None)
LAST_WAIT = 20.0
"""Seconds that a process of several waits for its batch after a signal to stop. Launchers kill after 30."""


class StoppedWaiting(BaseException):
    """A signal to stop while the run waited for a batch, between two steps."""


class Wait:
    """The wait for the next batch, which a signal to stop ends, however long the batch takes.

    Nothing of the next step has been computed then, so a run of one process can save at once. One of several processes
    waits a while, since the others cannot save without it.
    """

    def __init__(self, alone: bool) -> None:
        self.alone, self._waits = alone, False

    def begin(self, stop_requested: int) -> None:
        self._waits = True
        if stop_requested:
            self.stop()

    def end(self) -> None:
        self._waits = False
        if ALARM is not None and not self.alone and signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def stop(self) -> None:
        """End the wait, if there is one, or begin its last seconds."""
        if not self._waits:
            return
        if not self.alone and ALARM is not None:
            signal.setitimer(signal.ITIMER_REAL, LAST_WAIT)
            return
        self._waits = False
        raise StoppedWaiting

    def give_up(self) -> None:
        """End the wait of a process of several. Raises Unsaved."""
        if self._waits:
            self._waits = False
            raise Unsaved(f"told to stop, and no batch has come for {LAST_WAIT:g} seconds, so nothing was saved")
