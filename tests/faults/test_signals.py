"""Signals once and twice, to one, two and four processes of a run, and to both launchers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.runs import ROOT, free_port

from . import reader
from .machine import SLOW, Machine, ends_as_undisturbed, says_what_to_do, wait_until
from .results import attempt, some

CODES = {signal.SIGTERM: 75, signal.SIGHUP: 75, signal.SIGINT: 130, signal.SIGUSR1: 0}
SAVES_AT_ITS_END = "hooks.checkpoint={use: checkpoint, every: 6}"

TO_PROCESSES = [
    (number, times, world, rank)
    for world, ranks in ((1, (0,)), (2, (0, 1)), (4, (0, 3)))
    for number in CODES
    for times in (1, 2)
    for rank in (*ranks, "all")
]


@pytest.mark.parametrize(("number", "times", "world", "rank"), some(TO_PROCESSES, ordinary=5, quarter=16))
def test_a_signal_to_processes(
    machine: Machine, run: Path, number: signal.Signals, times: int, world: int, rank: int | str
) -> None:
    with attempt(number.name, TO_PROCESSES.index((number, times, world, rank))) as tried:
        tried.tried = f"{number.name} {times} times to rank {rank} of {world}"
        sets = (SLOW, SAVES_AT_ITS_END) if number == signal.SIGUSR1 else (SLOW,)
        processes = machine.start(run, *sets, world=world)
        wait_until(lambda: reader.reached(run) >= 3, "at step 3")
        for _ in range(times):
            for process in processes.all if rank == "all" else [processes.all[int(rank)]]:
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(process.pid, number)
            time.sleep(0.1)
        ended = processes.wait()
        told = 0 if rank == "all" else int(rank)
        says_what_to_do(tried, ended, CODES[number], rank=told)
        reached, saved = reader.reached(run), reader.newest_sound(run)
        if number == signal.SIGUSR1:
            assert [step for step in reader.steps(run) if step < 6], "nothing was saved before the end"
            assert reached == saved == 6
        elif number != signal.SIGINT or times == 1:
            assert reached == saved, f"step {reached} was reached, and step {saved} saved"
        ends_as_undisturbed(machine, tried, run, world=world)


TO_LAUNCHERS = [
    (launcher, number, times, whole_group)
    for number in (*CODES, signal.SIGKILL)
    for launcher in ("torchrun", "accelerate")
    for times in (1, 2)
    for whole_group in (False, True)
    if times == 1 or number in (signal.SIGTERM, signal.SIGINT)
]


@pytest.mark.parametrize(("launcher", "number", "times", "whole_group"), some(TO_LAUNCHERS, ordinary=0, quarter=4))
def test_a_signal_to_a_launcher(
    machine: Machine, run: Path, launcher: str, number: signal.Signals, times: int, whole_group: bool
) -> None:
    """`accelerate launch` starts one process on a CPU; torchrun starts two."""
    with attempt("signal to a launcher", TO_LAUNCHERS.index((launcher, number, times, whole_group))) as tried:
        tried.tried = f"{number.name} {times} times to {launcher}" + " and its processes" * whole_group
        log, world = run.with_name("log.txt"), 2 if launcher == "torchrun" else 1
        launched = launch(launcher, machine.words(run, SLOW), log)
        try:
            wait_until(lambda: reader.reached(run) >= 3 or launched.poll() is not None, "at step 3")
            assert launched.poll() is None, log.read_text()
            for _ in range(times):
                if whole_group:
                    os.killpg(launched.pid, number)
                elif launched.poll() is None:
                    launched.send_signal(number)
                time.sleep(0.1)
            launched.wait(60)
            wait_until(lambda: not processes_of(run), "ended", 30)
        finally:
            for process in processes_of(run):
                os.kill(process, signal.SIGKILL)
        about = status(run)
        tried.exit_code, tried.said = about.get("exit_code"), str(about.get("message", ""))
        assert "Traceback" not in tried.said
        if about.get("status") == "stopped":
            assert reader.reached(run) == reader.newest_sound(run)
        ends_as_undisturbed(machine, tried, run, world=world)


def launch(launcher: str, words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a run under a launcher, in a session of its own."""
    if launcher == "torchrun":
        named = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    else:
        named = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with open(log, "wb") as file:
        return subprocess.Popen(
            [sys.executable, *named, "-m", "i2i_cli", *words],
            stdout=file,
            stderr=file,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )


def processes_of(run: Path) -> list[int]:
    """Return the processes that were launched for a run, by their command lines."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if str(run) in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def status(run: Path) -> dict[str, object]:
    """Return what status.json says; a cut one says nothing."""
    try:
        found: dict[str, object] = json.loads((run / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return found
