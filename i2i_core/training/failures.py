"""Errors that stop a run, as sentences for users."""

from __future__ import annotations

import os
import re
import shlex
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from i2i_core.disk import checkpoints
from i2i_core.disk.files import FULL, disk_error, write_file
from i2i_core.errors import (
    DataError,
    DiskError,
    DiskFull,
    Diverged,
    I2IError,
    Interrupted,
    LostProcess,
    OutOfMemory,
    Preempted,
    Unsaved,
)
from i2i_core.registry.plugins import Plugins
from i2i_core.training.peers import Peer, launcher_words, troubles
from i2i_core.training.run_folder import RECIPE
from i2i_core.training.stopping import Terminated

WORKER = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([\w ]+)|exited unexpectedly)"
)
BETWEEN_PROCESSES = re.compile(r"\bgloo\b|NCCL|Connection (closed|reset) by peer")
"""Pattern of errors of communication between the processes of a run."""


def how_to_resume(folder: Path, plugins: Plugins) -> str:
    """Return a phrase with the command that resumes the run, or with the advice to start it again."""
    if not (folder / RECIPE).exists():
        return "training had not begun; start it again"
    loaded = [("--plugin", file) for file in plugins.files]
    if plugins.registry_file is not None:
        loaded.append(("--registry", plugins.registry_file))
    words = [
        *(launcher_words() or ["i2i"]),
        "train",
        "--run-dir",
        folder,
        "--resume",
        *(word for pair in loaded for word in pair),
    ]
    return f"continue with: {shlex.join(map(str, words))}"


def explained(error: BaseException, folder: Path, plugins: Plugins, peers: Sequence[Peer] = ()) -> BaseException:
    """Return the error for the user. An unexpected one stays as it is; a note names the file with its traceback.

    peers: the other processes of the run.
    """
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"interrupted; {how_to_resume(folder, plugins)}")
    if isinstance(error, Terminated):
        return Preempted(f"stopped by {error}; {how_to_resume(folder, plugins)}")
    if isinstance(error, Unsaved):
        return Unsaved(f"{error}; {how_to_resume(folder, plugins)}")
    if isinstance(error, Diverged):
        return Diverged(f"{error}. {_after_divergence(folder)}")
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return OutOfMemory(f"out of memory: {error}; i2i train --recipe ... --dry-run says which switch makes it fit")
    if isinstance(error, RuntimeError):
        if died := WORKER.search(" ".join(map(str, _chain(error)))):
            return _of_worker(died[1], died[2] or "", how_to_resume(folder, plugins))
        if peers and BETWEEN_PROCESSES.search(str(error)):
            return LostProcess(f"{_lost(peers)}, so this process ends too; {how_to_resume(folder, plugins)}")
    if isinstance(error, OSError) and error.errno in FULL:  # raised by a hook or a tracker
        error = disk_error(error, folder)
    if isinstance(error, DiskFull):
        return DiskError(f"{error} and resume with --resume, nothing saved is lost")
    if isinstance(error, Exception) and not isinstance(error, I2IError):
        file = folder / "logs" / f"traceback-{os.environ.get('RANK', '0')}.txt"
        with suppress(I2IError):
            write_file(file, "".join(traceback.format_exception(error)))
            error.add_note(f"the traceback is in {file}")
    return error


def _after_divergence(folder: Path) -> str:
    changed = "a lower learning rate (--set optimizers.default.lr=...) or another seed (--set seed=1)"
    steps = checkpoints.steps(folder / "checkpoints")
    if not steps:
        return f"Start again with {changed}"
    earlier = f"; if that diverges too, from an earlier step: --resume-from {steps[-2]}" if len(steps) > 1 else ""
    return f"Resume from step {steps[-1]} with {changed}{earlier}"


def _of_worker(pids: str, signal: str, again: str) -> I2IError:
    """Return the error for a data worker that a signal has ended."""
    who = f"the data worker with the process number {pids}"
    if signal == "Bus error":
        return OutOfMemory(
            f"{who} has crashed for lack of shared memory, or since a file that it read became shorter; use fewer "
            f"data.workers, or a larger /dev/shm (docker run --shm-size 2g); {again}"
        )
    if signal == "Killed":
        return OutOfMemory(f"{who} was killed, perhaps since memory ran out; use fewer data.workers; {again}")
    return DataError(
        f"{who} has crashed{f' ({signal})' * bool(signal)}; --set data.workers=0 may show the reason; {again}"
    )


def _lost(peers: Sequence[Peer], patience: float = 3.0) -> str:
    """Return which processes have ended, once the system says so."""
    until = time.monotonic() + patience
    while not (found := troubles(peers)) and time.monotonic() < until:
        time.sleep(0.05)
    return " and ".join(found) or "another process of the run does not answer"


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
