"""A run that is told to stop or to save hears it whatever it waits for, and outlives neither launcher nor partners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from i2i_core.disk import checkpoints
from i2i_core.training import run_folder

from .runs import (
    NO_GRIDS,
    ROOT,
    TROUBLE,
    Processes,
    arguments,
    assert_same_bits,
    logged,
    run_forked,
    status,
    train,
    wait_for,
)

LONG = ("steps=100000", "hooks.checkpoint.every=100000", *NO_GRIDS)
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")


def workers_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def running(tmp_path: Path, *sets: str, world: int = 1) -> Processes:
    folder = tmp_path / "run"
    started = Processes(tmp_path / "logs", arguments(folder, *LONG, *sets), world)
    wait_for(lambda: len(logged(folder)) >= 2, started.logs[0])
    return started


def test_sighup_saves_as_sigterm_does(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = run_forked(folder, f"hooks.stop={{use: trouble/signal, step: 2, number: {int(signal.SIGHUP)}}}", *LONG)
    assert ended.codes == [75], ended.printed
    assert ended.printed[0].splitlines()[-1].startswith("saved at step 3; continue with: ")
    assert checkpoints.steps(folder / "checkpoints") == [3]


@pytest.mark.parametrize("world", [1, 2])
def test_sigusr1_saves_and_the_run_goes_on(tmp_path: Path, world: int) -> None:
    folder = tmp_path / "run"
    rank = world - 1
    asked = f"hooks.ask={{use: trouble/signal, step: 3, number: {int(signal.SIGUSR1)}, rank: {rank}}}"
    ended = run_forked(folder, asked, "hooks.checkpoint={every: 6, keep: 2}", *NO_GRIDS, world=world)
    assert ended.codes == [0] * world, ended.printed
    assert f"saved {folder}/checkpoints/step-00000004\n" in ended.printed[0]
    assert checkpoints.steps(folder / "checkpoints") == [4, 6]


def test_a_signal_that_the_shell_ignores_stays_ignored(tmp_path: Path) -> None:
    """As under nohup."""
    number = int(signal.SIGHUP)
    hang_up = f"hooks.hang_up={{use: trouble/signal, step: 2, number: {number}}}"
    ended = run_forked(tmp_path / "run", hang_up, "steps=4", *NO_GRIDS, IGNORED_SIGNAL=str(number))
    assert ended.codes == [0], ended.printed
    assert status(tmp_path / "run")["step"] == 4


def blocked(tmp_path: Path, workers: int, *sets: str, world: int = 1) -> Processes:
    """A run that waits for ever for a picture: there is nobody to write into the pipe that it reads."""
    pipe = tmp_path / "pipe"
    data = f"data={{use: trouble/blocking, pipe: {pipe}, image_size: 32, batch_size: 4, validation: null}}"
    run = running(tmp_path, data, f"data.workers={workers}", *sets, world=world)
    os.mkfifo(pipe)
    before = -1
    while before != (before := len(logged(tmp_path / "run"))):
        time.sleep(1)
    return run


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_blocks_does_not_keep_a_run_from_stopping(tmp_path: Path, workers: int) -> None:
    folder, run = tmp_path / "run", blocked(tmp_path, workers)
    readers = workers_of(run.all[0].pid)
    began = time.monotonic()
    os.kill(run.all[0].pid, signal.SIGTERM)
    ended = run.wait(30)
    assert time.monotonic() - began < 15
    assert ended.codes == [75], ended.printed
    assert ended.printed[0].splitlines()[-1].startswith("saved at step ")
    assert len(readers) >= workers
    assert all(map(gone, readers))
    assert checkpoints.steps(folder / "checkpoints") == [status(folder)["step"]]


def test_data_workers_that_are_stopped_do_not_keep_a_run_from_stopping(tmp_path: Path) -> None:
    folder, run = tmp_path / "run", running(tmp_path, "data.workers=2")
    workers = [p for p in workers_of(run.all[0].pid) if p.is_running()]
    for worker in workers:
        worker.suspend()
    time.sleep(2)
    began = time.monotonic()
    os.kill(run.all[0].pid, signal.SIGTERM)
    ended = run.wait(30)
    assert time.monotonic() - began < 15
    assert ended.codes == [75], ended.printed
    assert all(map(gone, workers))
    assert checkpoints.steps(folder / "checkpoints") == [status(folder)["step"]]


@linux
def test_data_workers_that_are_stopped_or_blocked_end_with_their_trainer(tmp_path: Path) -> None:
    run = blocked(tmp_path, 2)
    workers = workers_of(run.all[0].pid)
    workers[-1].suspend()
    run.all[0].kill()
    run.wait()
    wait_for(lambda: all(map(gone, workers)), run.logs[0], seconds=10)


def test_a_batch_that_does_not_come_is_told_with_its_files(tmp_path: Path) -> None:
    run = blocked(tmp_path, 1, "timeout=3")
    ended = run.wait(30)
    assert ended.codes == [3], ended.printed
    said = ended.printed[0].splitlines()[-1]
    assert said.startswith("no batch has come for 3 seconds: data worker ")
    assert " is making one number " in said or " is making other number " in said
    assert said.endswith("; look at these files and their disk, or set a longer timeout")


@linux
def test_a_data_worker_that_is_killed_is_one_sentence(tmp_path: Path) -> None:
    folder, run = tmp_path / "run", running(tmp_path, "data.workers=2")
    worker = workers_of(run.all[0].pid)[-1]
    worker.kill()
    ended = run.wait(30)
    assert ended.codes == [7], ended.printed
    assert ended.printed[0].splitlines()[-1] == (
        f"the data worker with the process number {worker.pid} was killed, perhaps since memory ran out; use fewer "
        f"data.workers; continue with: i2i train --run-dir {folder} --resume --plugin {TROUBLE}"
    )


def test_a_rank_that_is_killed_is_named_by_the_others(tmp_path: Path) -> None:
    folder, run = tmp_path / "run", running(tmp_path, world=2)
    run.all[1].kill()
    ended = run.wait(30)
    assert ended.codes == [1, -9], ended.printed
    assert ended.printed[0].splitlines()[-1] == (
        f"rank 1 (process {run.all[1].pid}) has ended, so this process ends too; continue with: i2i train --run-dir "
        f"{folder} --resume --plugin {TROUBLE}"
    )
    assert status(folder)["exit_code"] == 1


def test_a_rank_that_is_stopped_is_named_by_the_others(tmp_path: Path) -> None:
    folder, run = tmp_path / "run", running(tmp_path, "timeout=3", world=2)
    stopped = psutil.Process(run.all[1].pid)
    stopped.suspend()
    run.all[0].join(30)
    assert run.all[0].exitcode == 1, run.logs[0].read_text()
    said = run.logs[0].read_text().splitlines()[-1]
    assert f"rank 1 (process {stopped.pid}) is stopped for 3 seconds, so the run ends; continue with: " in said
    assert status(folder)["message"] in said
    stopped.resume()
    assert run.wait(30).codes[1] == 1  # the first one has ended


@pytest.mark.slow
def test_a_rank_that_waits_for_a_picture_stops_without_saving(tmp_path: Path) -> None:
    run = blocked(tmp_path, 0, world=2)
    began = time.monotonic()
    for process in run.all:
        os.kill(process.pid, signal.SIGTERM)
    ended = run.wait(60)
    assert time.monotonic() - began < 40
    assert {*ended.codes} <= {1, 143}, ended.printed
    assert 143 in ended.codes
    assert any("told to stop, and no batch has come for 20 seconds, so nothing was saved; " in p for p in ended.printed)


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "-m accelerate.commands.launch --cpu -m i2i_cli",
        "-m torch.distributed.run --standalone --nproc-per-node 1 -m i2i_cli",
    ],
)
def test_one_process_ends_and_saves_when_its_launcher_is_killed(tmp_path: Path, words: str) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    command = [sys.executable, *words.split(), *arguments(folder, *LONG)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with open(log, "wb") as file:
        launcher = subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=ROOT)
    wait_for(lambda: len(logged(folder)) >= 2, log)
    launcher.kill()
    launcher.wait()
    wait_for(lambda: status(folder)["status"] == "stopped", log, seconds=30)
    run_folder.Lock(folder).release()
    said = log.read_text().splitlines()[-1]
    assert said.startswith("saved at step ")
    assert f"continue with: python {words} train --run-dir {folder} --resume" in said
    assert checkpoints.steps(folder / "checkpoints") == [status(folder)["step"]]


def test_a_hook_that_raises_the_end_of_a_file_does_not_pass_for_ctrl_c(tmp_path: Path) -> None:
    ended = run_forked(tmp_path / "run", "hooks.end_of_file=trouble/end_of_file", *NO_GRIDS)
    assert ended.codes == [1], ended.printed
    assert ended.printed[0].splitlines()[-1].startswith("unexpected: EOFError: the file ends (")
    assert status(tmp_path / "run")["exit_code"] == 1


def test_a_run_that_stopped_while_it_waited_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    folder, run = tmp_path / "run", blocked(tmp_path, 2)
    os.kill(run.all[0].pid, signal.SIGTERM)
    assert run.wait(30).codes == [75]
    (tmp_path / "pipe").unlink()
    step = status(folder)["step"]
    changes = (f"steps={step + 3}", f"hooks.checkpoint={{use: checkpoint, every: {step + 3}, keep: 1}}")
    train(folder, *changes, resume=True)
    whole = tmp_path / "whole"
    train(whole, *changes, recipe=folder / "recipe.yaml")
    assert_same_bits(whole, folder)
