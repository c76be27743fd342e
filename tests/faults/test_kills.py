"""SIGKILL at random, and before each operation of a save and of a prune."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from .disk import Kill, numbered
from .machine import Machine, ends_as_undisturbed, note
from .results import Attempt, attempt, seeds


@pytest.mark.parametrize("seed", seeds(2, 20, 120))
def test_a_kill_at_any_time(machine: Machine, run: Path, seed: int) -> None:
    with attempt("kill at any time", seed) as tried:
        random = tried.random
        for _ in range(random.choice((1, 1, 2, 3))):
            wait = random.uniform(0, machine.seconds)
            processes = machine.go_on(run)
            time.sleep(wait)
            for process in processes.all:
                process.kill()
            ended = processes.wait()
            tried.tried += f"SIGKILL after {wait:.2f} s; "
            note(tried, ended)
        ends_as_undisturbed(machine, tried, run)


@pytest.mark.parametrize("seed", seeds(3, 30, 140))
def test_a_kill_in_a_save(machine: Machine, run: Path, seed: int) -> None:
    with attempt("kill in a save", seed) as tried:
        killed_in(".stage-", machine, run, tried)


@pytest.mark.parametrize("seed", seeds(2, 15, 60))
def test_a_kill_in_a_prune(machine: Machine, run: Path, seed: int) -> None:
    with attempt("kill in a prune", seed) as tried:
        killed_in(".old-", machine, run, tried)


def killed_in(what: str, machine: Machine, run: Path, tried: Attempt) -> None:
    """Kill a run before, or in the middle of, an operation on such a folder."""
    operations = numbered(machine.operations)
    numbers = [n for n, operation in enumerate(operations) if what in operation.path + operation.to]
    number = tried.random.choice(numbers)
    tried.tried = f"SIGKILL before operation {number}, {operations[number]}"
    ended = machine.start(run, before=Kill(run, number)).wait()
    note(tried, ended)
    assert ended.codes == [-signal.SIGKILL], ended.printed
    ends_as_undisturbed(machine, tried, run)
