"""The run folder: its creation, its lock, and its files for the status and the metrics."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import filelock

from i2i_core.disk.files import need_text, write_file, writing
from i2i_core.errors import Locked, UsageError

RECIPE, STATUS, METRICS, SPEED = "recipe.yaml", "status.json", "metrics.jsonl", "speed.jsonl"


def make(run_dir: Path | None, name: str) -> Path:
    """Create a run folder and return it: `run_dir`, or else runs/NAME-001 or the next free number.

    Raises UsageError if `run_dir` already holds a run or is no text, Locked if a process is using it.
    """
    need_text(run_dir or Path("runs"))
    with writing(run_dir or Path("runs")):
        if run_dir is None:
            return _next_free(name)
        run_dir.mkdir(parents=True, exist_ok=True)
        if (run_dir / RECIPE).exists():
            lock(run_dir).release()  # raises Locked if it is in use
            raise UsageError(f"{run_dir} already holds a run; continue it with --resume or choose another --run-dir")
        return run_dir


def _next_free(name: str) -> Path:
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number:03d}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def lock(folder: Path) -> filelock.BaseFileLock:
    """Lock the folder until the process ends. Raises Locked if another process holds the lock."""
    held = filelock.FileLock(folder / "run.lock")
    with writing(folder):
        try:
            held.acquire(timeout=0)
        except filelock.Timeout:
            raise Locked(f"{folder} is in use by another process; wait for it, or choose another --run-dir") from None
    return held


def write_status(folder: Path, status: str, step: int, exit_code: int | None = None, message: str = "") -> None:
    """Write status.json. status: running, finished, stopped or failed. exit_code: here since torchrun hides it."""
    facts = {
        "status": status,
        "step": step,
        "exit_code": exit_code,
        "message": message,
        "pid": os.getpid(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_file(folder / STATUS, json.dumps(facts, indent=1))


def is_finished(folder: Path) -> bool:
    """Return True if the run finished, the hooks' `run_end` included."""
    path = folder / STATUS
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["status"] == "finished"


def truncate_metrics(folder: Path, step: int) -> None:
    """Remove the lines after `step` from the metrics: the resumed run logs them again."""
    for path in filter(Path.exists, (folder / METRICS, folder / SPEED)):
        # The last line may be truncated.
        whole = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        write_file(path, "".join(f"{line}\n" for line in whole if json.loads(line)["step"] <= step))
