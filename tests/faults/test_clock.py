"""Clocks that are set back or forward, and files with times of another age."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import reader
from .machine import Machine, ends_as_undisturbed, says_what_to_do
from .results import attempt, some

HOUR, YEAR = 3600.0, 365 * 24 * 3600.0


@dataclass
class Clock:
    """Sets the clock of a process by so many seconds, from the call with this number on."""

    seconds: float
    call: int

    def __call__(self) -> None:
        calls, real, local = itertools.count(), time.time, time.localtime

        def now() -> float:
            return real() + (self.seconds if next(calls) >= self.call else 0)

        time.time = now
        time.time_ns = lambda: int(now() * 1e9)
        strftime = time.strftime
        time.strftime = lambda form, at=None: strftime(form, at or local(now()))


CASES = [(seconds, call) for seconds in (-HOUR, -30 * YEAR, 60 * YEAR) for call in (0, 1, 5)]


@pytest.mark.parametrize(("seconds", "call"), some(CASES, ordinary=1, quarter=3))
def test_the_clock_is_set(machine: Machine, run: Path, seconds: float, call: int) -> None:
    with attempt("clock set back", CASES.index((seconds, call))) as tried:
        tried.tried = f"the clock is set by {seconds:+,.0f} s at call {call}"
        machine.copy(machine.half, run)
        ended = machine.start(run, resume=True, before=Clock(seconds, call)).wait()
        says_what_to_do(tried, ended, 0)
        reader.same(reader.result(run), machine.undisturbed())


@pytest.mark.parametrize("date", some([0.0, 2e9], ordinary=1, quarter=1))
def test_files_have_times_of_another_age(machine: Machine, run: Path, date: float) -> None:
    with attempt("clock set back", 100 + int(date > 0)) as tried:
        tried.tried = f"all files get the time {date:g}"
        machine.copy(machine.half, run)
        for n, path in enumerate(sorted(run.rglob("*"))):
            os.utime(path, (date - n, date - n) if date else (0, 0))
        ends_as_undisturbed(machine, tried, run)
