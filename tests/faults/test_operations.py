"""Every operation on the files of a run fails in turn: no space, a broken disk, a read-only one, no permission."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from .disk import Fail, Operation, numbered
from .machine import Machine, ends_as_undisturbed, says_what_to_do
from .results import Attempt, attempt, seeds

NEW, RESUMED = 1000, 550
"""Seeds of a full session: enough for all operations and errors of a new run, and of a resumed one."""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EPERM)


@pytest.mark.parametrize("seed", seeds(6, 60, NEW))
def test_an_operation_of_a_new_run_fails(machine: Machine, run: Path, seed: int) -> None:
    with attempt("a file operation fails", seed) as tried:
        fail_one(machine, run, machine.operations, NEW, tried)


@pytest.mark.parametrize("seed", seeds(4, 30, RESUMED))
def test_an_operation_of_a_resumed_run_fails(machine: Machine, run: Path, seed: int) -> None:
    with attempt("a file operation of a resumed run fails", seed) as tried:
        machine.copy(machine.half, run)
        fail_one(machine, run, machine.operations_of_second_half, RESUMED, tried)


def fail_one(machine: Machine, run: Path, operations: list[Operation], full: int, tried: Attempt) -> None:
    """Fail one operation with one error. `full` seeds go through all of both."""
    operations = numbered(operations)
    cases = [
        (number, error)
        for number, operation in enumerate(operations)
        for error in (ERRORS if operation.changes else (errno.EIO,))  # a read only fails if the disk is broken
    ]
    assert len(cases) <= full, f"there are {len(cases)} cases: try more"
    number, error = cases[tried.seed * 389 % len(cases)]  # 389 is prime: all of the run, from the first seeds on
    tried.tried = f"{errno.errorcode[error]} at operation {number}, {operations[number]}"
    ended = machine.go_on(run, before=Fail(run, number, error)).wait()
    says_what_to_do(tried, ended)
    ends_as_undisturbed(machine, tried, run)
