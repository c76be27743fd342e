"""A run's folder: made exclusively, locked while in use, with the resolved recipe and the state of affairs in it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import filelock

from i2i_core.disk.files import write_file, writing
from i2i_core.errors import Locked, UsageError

RECIPE, STATUS, METRICS, SPEED = "recipe.yaml", "status.json", "metrics.jsonl", "speed.jsonl"


def make(run_dir: Path | None, name: str) -> Path:
    """A new run folder: `run_dir`, else runs/<name>-001 or the next free number; raises UsageError for one in use."""
    with writing(run_dir or Path("runs")):
        if run_dir is None:
            return _next_free(name)
        run_dir.mkdir(parents=True, exist_ok=True)
        if (run_dir / RECIPE).exists():
            lock(run_dir).release()  # Locked, if it is in use
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
    """Hold the folder until the process ends; raises Locked when another process has it."""
    held = filelock.FileLock(folder / "run.lock")
    with writing(folder):
        try:
            held.acquire(timeout=0)
        except filelock.Timeout:
            raise Locked(f"{folder} is in use by another process; wait for it, or choose another --run-dir") from None
    return held


def write_status(folder: Path, status: str, step: int, exit_code: int | None = None, message: str = "") -> None:
    """status.json: running, finished, stopped or failed; torchrun hides exit codes, so they are here too."""
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
    """Whether the run ended well, with all that its hooks do at the end."""
    path = folder / STATUS
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["status"] == "finished"


def truncate_metrics(folder: Path, step: int) -> None:
    """Forget what was logged after `step`: a resumed run will log it again."""
    for path in filter(Path.exists, (folder / METRICS, folder / SPEED)):
        whole = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]  # none cut short
        write_file(path, "".join(f"{line}\n" for line in whole if json.loads(line)["step"] <= step))
