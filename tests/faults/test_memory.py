"""Memory that is refused: by PyTorch, by Python, and from some point on, wherever that is."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from .machine import Machine, ends_as_undisturbed, note, says_what_to_do
from .results import attempt, seeds, some

CASES = [(kind, step, world) for world in (1, 2) for kind in ("torch", "python") for step in (3, 0)]


@pytest.mark.parametrize(("kind", "step", "world"), some(CASES, ordinary=1, quarter=3))
def test_more_memory_than_there_is(machine: Machine, run: Path, kind: str, step: int, world: int) -> None:
    with attempt("memory refused", CASES.index((kind, step, world))) as tried:
        tried.tried = f"{kind} asks for a quarter of a terabyte after step {step}, in one of {world} processes"
        ended = machine.start(run, f"hooks.hungry={{use: fast/hungry, step: {step}, kind: {kind}}}", world=world).wait()
        says_what_to_do(tried, ended, 7)
        ends_as_undisturbed(machine, tried, run, world=world, repair=["hooks.hungry=null"])


@dataclass
class Limit:
    """Leaves a process so much more memory than it has."""

    size: int

    def __call__(self) -> None:
        size = psutil.Process().memory_info().vms + self.size
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.parametrize("seed", seeds(1, 10, 60))
def test_memory_runs_out(machine: Machine, run: Path, seed: int) -> None:
    with attempt("memory runs out anywhere", seed) as tried:
        size = int(tried.random.uniform(0, 4) ** 3 * 2**20)
        tried.tried = f"a process has {size / 2**20:.2f} MiB more memory than at its start"
        ended = machine.start(run, before=Limit(size)).wait()
        note(tried, ended)
        ends_as_undisturbed(machine, tried, run)
