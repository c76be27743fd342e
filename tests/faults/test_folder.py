"""The folder of a run is removed, moved or shared while it trains; locks are deleted or left behind."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from tests.runs import Ended, Processes

from . import reader
from .machine import SLOW, Machine, ends_as_undisturbed, says_what_to_do, wait_until
from .results import Attempt, attempt, rarely


def begun(machine: Machine, run: Path, step: int = 3) -> Processes:
    processes = machine.start(run, SLOW)
    wait_until(lambda: reader.reached(run) >= step, f"at step {step}")
    return processes


def ended(processes: Processes, tried: Attempt, code: int) -> Ended:
    """Wait for the end of a run; require a sentence and an exit code."""
    found = processes.wait()
    says_what_to_do(tried, found, code)
    return found


def test_the_folder_is_removed(machine: Machine, run: Path) -> None:
    with attempt("folder removed in mid-run") as tried:
        tried.tried = "the folder is removed after step 3"
        processes = begun(machine, run)
        shutil.rmtree(run)
        ended(processes, tried, 74)
        assert not run.exists(), f"made anew: {sorted(path.name for path in run.rglob('*'))}"


@rarely
def test_the_checkpoints_are_removed(machine: Machine, run: Path) -> None:
    """What is gone is gone, but the run goes on, and saves what it has."""
    with attempt("folder removed in mid-run", 1) as tried:
        tried.tried = "the folder of checkpoints is removed after step 3"
        processes = begun(machine, run)
        shutil.rmtree(run / "checkpoints")
        ended(processes, tried, 0)
        reader.same(reader.result(run), machine.undisturbed())


def test_the_folder_is_moved(machine: Machine, run: Path) -> None:
    with attempt("folder moved in mid-run") as tried:
        tried.tried = "the folder is renamed after step 3"
        processes, moved = begun(machine, run), run.with_name("moved")
        run.rename(moved)
        ended(processes, tried, 74)
        assert not run.exists(), f"made anew: {sorted(path.name for path in run.rglob('*'))}"
        ends_as_undisturbed(machine, tried, moved)


@rarely
def test_another_folder_takes_its_place(machine: Machine, run: Path) -> None:
    with attempt("folder moved in mid-run", 1) as tried:
        tried.tried = "the folder is renamed after step 3, and another run begins in its place"
        processes, moved = begun(machine, run), run.with_name("moved")
        run.rename(moved)
        other = machine.start(run)
        ended(processes, tried, 74)
        assert other.wait().codes == [0], other.wait().printed
        reader.same(reader.result(run), machine.undisturbed())
        ends_as_undisturbed(machine, tried, moved)


@rarely
def test_a_second_run_in_the_folder_is_refused(machine: Machine, run: Path) -> None:
    with attempt("two runs in one folder") as tried:
        tried.tried = "a second run resumes in the folder of one that trains"
        first = begun(machine, run, step=1)
        ended(machine.start(run, resume=True), tried, 73)
        assert first.wait().codes == [0], first.wait().printed
        reader.same(reader.result(run), machine.undisturbed())


@rarely
def test_a_second_run_in_the_folder_of_one_that_is_stopped(machine: Machine, run: Path) -> None:
    with attempt("two runs in one folder", 1) as tried:
        tried.tried = "a second run resumes in the folder of one that is stopped by SIGSTOP"
        first = begun(machine, run, step=1)
        os.kill(first.all[0].pid, signal.SIGSTOP)
        ended(machine.start(run, resume=True), tried, 73)
        os.kill(first.all[0].pid, signal.SIGCONT)
        assert first.wait().codes == [0], first.wait().printed
        reader.same(reader.result(run), machine.undisturbed())


def test_two_runs_start_at_once(machine: Machine, run: Path) -> None:
    with attempt("two runs in one folder", 2) as tried:
        tried.tried = "two runs start in one folder at the same time"
        first, logs = machine.start(run, SLOW), run.with_name("logs")
        second = Processes(logs, machine.words(run, SLOW))
        both = [first.wait(), second.wait()]
        codes = sorted(found.codes[0] for found in both)
        for found in both:
            says_what_to_do(tried, found)
        assert codes in ([0, 73], [0, 2]), codes
        reader.same(reader.result(run), machine.undisturbed())


def test_the_lock_is_deleted_and_a_second_run_begins(machine: Machine, run: Path) -> None:
    with attempt("two runs in one folder", 3) as tried:
        tried.tried = "run.lock is deleted after step 3, and a second run resumes"
        first = begun(machine, run)
        (run / "run.lock").unlink()
        second = machine.start(run, resume=True)
        ended(first, tried, 74)
        assert second.wait().codes == [0], second.wait().printed
        reader.same(reader.result(run), machine.undisturbed())


def test_a_lock_that_was_left_behind(machine: Machine, run: Path) -> None:
    with attempt("lock of a dead host") as tried:
        tried.tried = "run.lock of another host is in the folder"
        machine.copy(machine.half, run)
        (run / "run.lock").write_text("elsewhere.example 4242\n")
        os.utime(run / "run.lock", (0, 0))
        ends_as_undisturbed(machine, tried, run)


@rarely
def test_a_lock_of_a_process_that_was_killed(machine: Machine, run: Path) -> None:
    with attempt("lock of a dead host", 1) as tried:
        tried.tried = "the run is killed, and resumed in the same moment"
        processes = begun(machine, run)
        os.kill(processes.all[0].pid, signal.SIGKILL)
        tried.exit_code = processes.wait().codes[0]
        ends_as_undisturbed(machine, tried, run)
