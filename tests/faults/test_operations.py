"""Every operation on the files of a run fails in turn: no space, a broken disk, a read-only one, no permission."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from .disk import Fail, Operation, numbered
from .machine import Machine, ends_as_undisturbed, says_what_to_do
from .results import Attempt, attempt, seeds

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EPERM)


@pytest.mark.parametrize("seed", seeds(6, 60, 700))
def test_an_operation_of_a_new_run_fails(machine: Machine, run: Path, seed: int) -> None:
    with attempt("a file operation fails", seed) as tried:
        fail_one(machine, run, machine.operations, seed, tried)


@pytest.mark.parametrize("seed", seeds(4, 30, 300))
def test_an_operation_of_a_resumed_run_fails(machine: Machine, run: Path, seed: int) -> None:
    with attempt("a file operation of a resumed run fails", seed) as tried:
        machine.copy(machine.half, run)
        fail_one(machine, run, machine.operations_of_second_half, seed, tried)


def fail_one(machine: Machine, run: Path, operations: list[Operation], seed: int, tried: Attempt) -> None:
    """Fail one operation with one error. A thousand seeds go through all of both."""
    operations = numbered(operations)
    cases = [
        (number, error)
        for number, operation in enumerate(operations)
        for error in (ERRORS if operation.changes else (errno.EIO,))  # a read only fails if the disk is broken
    ]
    number, error = cases[seed * 389 % len(cases)]  # 389 is prime: all of the run, from the first seeds on
    tried.tried = f"{errno.errorcode[error]} at operation {number}, {operations[number]}"
    ended = machine.go_on(run, before=Fail(run, number, error)).wait()
    says_what_to_do(tried, ended)
    ends_as_undisturbed(machine, tried, run)
