"""Data workers as the training process sees them: the sample that each is making, their errors, and their end."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import psutil
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from i2i_core.errors import DataError

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
MOMENT = 2.0
"""Seconds that data workers have to end by themselves."""


class Described(Protocol):
    """A map-style data set that can describe its items."""

    def __getitem__(self, number: int) -> Any: ...
    def describe(self, number: int) -> str: ...


class Watched:
    """A map-style data set whose data workers note the number of the item that they are making."""

    def __init__(self, items: Described, workers: int) -> None:
        self.items = items
        self._now = torch.full((workers,), -1).share_memory_()

    def __getitem__(self, number: int) -> Any:
        worker = get_worker_info()
        assert worker is not None
        self._now[worker.id] = number
        item = self.items[number]
        self._now[worker.id] = -1
        return item

    def busy(self, workers: Sequence[BaseProcess]) -> str:
        """Return what the data workers are doing, in the order in which they were started."""
        found = []
        for worker, number in zip(workers, self._now.tolist(), strict=True):
            if number >= 0:
                how = "is stopped in" if _is_stopped(worker) else "is making"
                found.append(f"data worker {worker.pid} {how} {self.items.describe(number)}")
        return "; ".join(found) or "no data worker is doing anything"


class Patience:
    """A thread that kills data workers if a batch of theirs does not come in time.

    torch's own timeout does not cover all waits: with a worker that is stopped when its batch is ready, torch waits for
    an answer to the question for the batch's memory. Looks are counted, not seconds: if the whole run is stopped for a
    while, that is no fault of a worker.
    """

    def __init__(self, items: Watched, workers: Sequence[BaseProcess], timeout: float) -> None:
        self.items, self.workers, self.timeout = items, workers, timeout
        self.late = ""
        """The work of the data workers when the time was over; "" before."""
        self._waits, self._looks, self._done = False, 0, threading.Event()
        if timeout:
            threading.Thread(target=self._watch, daemon=True).start()

    def begin(self) -> None:
        self._looks, self._waits = 0, True

    def end(self) -> None:
        self._waits = False

    def close(self) -> None:
        self._done.set()

    def _watch(self) -> None:
        pause = min(1.0, self.timeout / 4)
        while not self._done.wait(pause):
            self._looks += 1
            if self._waits and self._looks * pause > self.timeout:
                self.late = self.items.busy(self.workers)
                return _kill(self.workers)


def watched(
    batches: Iterator[dict[str, Tensor]], items: Watched, workers: Sequence[BaseProcess], timeout: float
) -> Generator[dict[str, Tensor]]:
    """Yield the batches of data workers, and end the workers in any case.

    Raises the DataError of a worker without the worker's traceback in its text, and a DataError that names the files if
    no batch comes within the timeout, in seconds; 0 stands for any time.
    """
    patience = Patience(items, workers, timeout)
    try:
        while True:
            patience.begin()
            batch = next(batches, None)
            patience.end()
            if batch is None:
                return
            yield batch
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # else the error keeps the workers alive, and so does this frame
        if isinstance(error, DataError):
            raise DataError(str(error).rstrip().splitlines()[-1].partition(": ")[2]) from None
        if patience.late:
            what = f"no batch has come for {timeout:g} seconds: {patience.late}"
            raise DataError(f"{what}; look at these files and their disk, or set a longer timeout") from None
        raise
    finally:
        patience.close()
        with _ending(workers):
            del batches  # then torch asks the workers to end, and waits for each in turn


@contextmanager
def _ending(workers: Sequence[BaseProcess]) -> Iterator[None]:
    """Kill those data workers that have not ended a moment after this block began.

    One that was stopped goes on first: it may hold a lock that the others and this process need to end.
    """
    for worker in workers:
        with suppress(psutil.Error):
            psutil.Process(worker.pid).resume()
    killer = threading.Timer(MOMENT, _kill, [workers])
    killer.start()
    try:
        with _deaths_expected():
            yield
    finally:
        killer.cancel()
        _kill(workers)


def _kill(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        with suppress(OSError, ValueError):  # it has ended, or was closed
            if worker.is_alive() and worker.pid is not None:
                os.kill(worker.pid, KILL)


@contextmanager
def _deaths_expected() -> Iterator[None]:
    """Keep torch from raising an error for a data worker that is killed in this block."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _is_stopped(worker: BaseProcess) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED)
    return False
