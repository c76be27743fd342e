"""The memory of decoding: how many pixels the threads of this process decode and hold at a time."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import _imaging

from i2i_core.errors import UsageError

VARIABLE = "I2I_MEGAPIXELS_AT_ONCE"
"""The environment variable that sets the budget, in millions of pixels."""
MEGAPIXELS = 128
"""The budget without it. A pixel takes 4 to 16 bytes while it is decoded, so all of them take about a gigabyte."""


class _Mine(threading.local):
    """The state of a thread: whether it is in a turn, and the pixels that it holds."""

    inside = False
    pixels = 0


class Budget:
    """A budget of pixels that threads share: a picture waits in line until it fits, or until it is alone.

    A turn lasts as long as a picture is in use. Its first picture waits; further ones do not, since turns that hold
    pixels and wait for more might wait for each other.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin with nothing taken, as in a forked process: the threads that hold pixels are not in it."""
        self._mine, self._changed = _Mine(), threading.Condition()
        self._used, self._line = 0, deque[object]()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the pixels that are taken in this block until its end. A turn inside another one is a part of it."""
        if self._mine.inside:
            yield
            return
        self._mine.inside = True
        try:
            yield
        finally:
            with self._changed:
                self._used -= self._mine.pixels
                self._mine.inside, self._mine.pixels = False, 0
                self._changed.notify_all()

    def take(self, pixels: int) -> None:
        """Take pixels for a picture that is decoded next; wait until they are free. Raises UsageError.

        Outside of a turn, nothing is taken, as nothing would give it back.
        """
        if not self._mine.inside:
            return
        most = _most()
        with self._changed:
            if not self._mine.pixels:
                self._wait(pixels, most)
            self._used += pixels
            self._mine.pixels += pixels

    def _wait(self, pixels: int, most: int) -> None:
        """Wait in line, so that small pictures do not overtake a large one for ever."""
        me = object()
        self._line.append(me)
        try:
            self._changed.wait_for(lambda: self._line[0] is me and (not self._used or self._used + pixels <= most))
        finally:
            self._line.remove(me)
            self._changed.notify_all()


def _most() -> int:
    """Return the budget in pixels. Raises UsageError if the environment variable is no number of megapixels."""
    written = os.environ.get(VARIABLE, "")
    try:
        most = float(written or MEGAPIXELS)
        if not most > 0:
            raise ValueError
        return int(min(most, 1e9) * 1e6)
    except ValueError:
        raise UsageError(f"{VARIABLE} is {written}; set it to a number of megapixels, such as {MEGAPIXELS}") from None


if "PILLOW_BLOCK_SIZE" not in os.environ:
    _imaging.set_block_size(2**26)  # the allocator of C keeps freed blocks of up to 32 MiB, for each thread its own
BUDGET = Budget()
"""The budget of this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BUDGET.begin)
