"""The power fails: what was not fsynced may be forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .disk import Operation
from .machine import Machine, ends_as_undisturbed
from .power import Disk
from .results import Attempt, attempt, seeds

JOURNALS = pytest.mark.parametrize("journal", [True, False], ids=["journal", "posix"])


@JOURNALS
@pytest.mark.parametrize("seed", seeds(3, 25, 150))
def test_the_power_fails_in_a_new_run(machine: Machine, run: Path, seed: int, journal: bool) -> None:
    with attempt(kind(journal), seed) as tried:
        cut(machine, run, Disk(machine.place / "recorded", None, journal), machine.operations, tried)


@JOURNALS
@pytest.mark.parametrize("seed", seeds(2, 10, 75))
def test_the_power_fails_in_a_resumed_run(machine: Machine, run: Path, seed: int, journal: bool) -> None:
    with attempt(kind(journal), seed + 1000) as tried:
        disk = Disk(machine.place / "resumed", machine.half, journal)
        cut(machine, run, disk, machine.operations_of_second_half, tried)


def kind(journal: bool) -> str:
    return "power loss" if journal else "power loss without a journal"


def cut(machine: Machine, run: Path, disk: Disk, operations: list[Operation], tried: Attempt) -> None:
    """Cut the power after some of the operations, and let the run go on with what is left of it."""
    until = tried.random.randint(1, len(operations))
    for operation in operations[:until]:
        disk.do(operation)
    disk.cut(run, tried.random)
    tried.tried = f"cut after operation {until} of {len(operations)}, {operations[until - 1]}"
    logged = [o.data for o in operations[:until] if o.name == "write" and o.path.endswith("metrics.jsonl")]
    ends_as_undisturbed(machine, tried, run, reached=json.loads(logged[-1])["step"] if logged else 0)
