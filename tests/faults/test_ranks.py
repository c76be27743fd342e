"""Processes of a run and data workers that are killed, stopped for good, or stopped for a while."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.runs import Processes

from . import reader
from .machine import SLOW, Machine, ends_as_undisturbed, note, says_what_to_do, wait_until
from .results import Attempt, attempt, rarely, some

TIMEOUT = 4
"""Seconds that these runs wait for what does not come, and more than a slow process is slow."""
SHORT = f"timeout={TIMEOUT}"

RANKS = [
    (world, rank, number)
    for world, ranks in ((2, (0, 1)), (4, (0, 2)))
    for rank in ranks
    for number in (signal.SIGKILL, signal.SIGSTOP)
]


@pytest.mark.parametrize(("world", "rank", "number"), some(RANKS, ordinary=1, quarter=4))
def test_a_process_is_lost(machine: Machine, run: Path, world: int, rank: int, number: signal.Signals) -> None:
    with attempt("process lost", RANKS.index((world, rank, number))) as tried:
        tried.tried = f"{number.name} to rank {rank} of {world}"
        processes = begun(machine, run, world=world)
        lost, others = processes.all[rank], [p for n, p in enumerate(processes.all) if n != rank]
        os.kill(lost.pid, number)
        wait_until(lambda: all(p.exitcode is not None for p in others), "noticed by the others", TIMEOUT + 30)
        lost.kill()
        ended = processes.wait()
        del ended.codes[rank], ended.printed[rank]
        says_what_to_do(tried, ended)
        assert f"rank {rank}" in tried.said, tried.said
        ends_as_undisturbed(machine, tried, run, world=world)


@pytest.mark.parametrize(("world", "rank"), some([(2, 0), (2, 1), (4, 3)], ordinary=0, quarter=1))
def test_a_process_is_slow(machine: Machine, run: Path, world: int, rank: int) -> None:
    with attempt("process slow", world + rank) as tried:
        tried.tried = f"rank {rank} of {world} is stopped for two seconds"
        processes = begun(machine, run, world=world)
        slow(processes.all[rank].pid)
        went_on(machine, run, processes, tried, world)


@pytest.mark.parametrize("number", some([signal.SIGKILL, signal.SIGSTOP], ordinary=1, quarter=2))
@pytest.mark.parametrize("workers", some([1, 2], ordinary=1, quarter=1))
def test_a_data_worker_is_lost(machine: Machine, run: Path, workers: int, number: signal.Signals) -> None:
    with attempt("data worker lost", workers * 100 + number) as tried:
        tried.tried = f"{number.name} to one of {workers} data workers"
        processes = begun(machine, run, f"data.workers={workers}")
        with watched(processes) as found:
            os.kill(found[0].pid, number)
            ended = processes.wait(TIMEOUT + 30)
        says_what_to_do(tried, ended)
        assert ended.codes != [0]
        ends_as_undisturbed(machine, tried, run)


@rarely
def test_a_data_worker_is_slow(machine: Machine, run: Path) -> None:
    with attempt("data worker slow") as tried:
        tried.tried = "a data worker is stopped for two seconds"
        processes = begun(machine, run, "data.workers=1")
        with watched(processes) as found:
            slow(found[0].pid)
            went_on(machine, run, processes, tried)


def test_a_stop_while_a_data_worker_is_stuck(machine: Machine, run: Path) -> None:
    with attempt("stop with a stuck data worker") as tried:
        tried.tried = "SIGSTOP to the data worker, and SIGTERM to the run"
        processes = begun(machine, run, "data.workers=1", "timeout=300")
        with watched(processes) as found:
            os.kill(found[0].pid, signal.SIGSTOP)
            time.sleep(3)  # the batches that it has made are used up
            os.kill(processes.all[0].pid, signal.SIGTERM)
            ended = processes.wait(30)
        note(tried, ended)
        assert ended.codes == [75], ended
        assert reader.reached(run) == reader.newest_sound(run)
        ends_as_undisturbed(machine, tried, run)


def begun(machine: Machine, run: Path, *sets: str, world: int = 1) -> Processes:
    """Start a slow run, and wait until it has trained a step."""
    processes = machine.start(run, SLOW, SHORT, *sets, world=world)
    wait_until(lambda: reader.reached(run) >= 1 or processes.all[0].exitcode is not None, "at step 1")
    assert processes.all[0].exitcode is None, processes.logs[0].read_text()
    return processes


@contextmanager
def watched(processes: Processes) -> Iterator[list[psutil.Process]]:
    """Provide the data workers of a run; require that none of them is left."""
    workers = psutil.Process(processes.all[0].pid).children()
    try:
        yield workers
        wait_until(lambda: not any(worker.is_running() for worker in workers), "without data workers", 10)
    finally:
        for worker in workers:
            with suppress(psutil.Error):
                worker.kill()


def slow(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    os.kill(pid, signal.SIGCONT)


def went_on(machine: Machine, run: Path, processes: Processes, tried: Attempt, world: int = 1) -> None:
    ended = processes.wait()
    note(tried, ended)
    assert ended.codes == [0] * world, ended
    tried.lost = 0
    reader.same(reader.result(run), machine.undisturbed(world=world))
