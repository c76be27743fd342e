"""The run folder: its creation, its lock, and its files for the status and the metrics."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import filelock

from i2i_core.disk.files import need_text, write_file, writing
from i2i_core.errors import DiskError, Locked, UsageError, counted

RECIPE, STATUS, METRICS, SPEED = "recipe.yaml", "status.json", "metrics.jsonl", "speed.jsonl"
LOCK = "run.lock"


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
            Lock(run_dir).release()  # raises Locked if it is in use
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


class Lock:
    """The lock of a run folder, held until it is released or the process ends. Raises Locked if another one holds it.

    An open file is locked, whatever becomes of its name: so the folder is the run's own only while the name stands for
    the same file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = filelock.FileLock(folder / LOCK)
        with writing(folder):
            try:
                self._held.acquire(timeout=0)
            except filelock.Timeout:
                raise Locked(
                    f"{folder} is in use by another process; wait for it, or choose another --run-dir"
                ) from None
            self._file = os.stat(folder / LOCK)

    def is_lost(self) -> bool:
        """Return True if the folder or the lock's file was removed, moved or replaced."""
        try:
            return not os.path.samestat(self._file, os.stat(self.folder / LOCK))
        except OSError:
            return True

    def check(self) -> None:
        """Raise DiskError if the folder is not the run's own any more."""
        if self.is_lost():
            what = f"its {LOCK} was" if self.folder.is_dir() else "it was"
            raise DiskError(
                f"{self.folder} is not used any more, since {what} removed, moved or replaced, and another run may use "
                f"the folder; the run ends here"
            )

    def release(self) -> None:
        self._held.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


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


def read_status(folder: Path) -> dict[str, Any]:
    """Return the contents of status.json, or {} if it is missing or damaged: it only says what a run has done."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads((folder / STATUS).read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def is_finished(folder: Path) -> bool:
    """Return True if the run finished, the hooks' `run_end` included."""
    return bool(read_status(folder).get("status") == "finished")


def truncate_metrics(folder: Path, step: int, expected: int, warn: Callable[[str], None]) -> int:
    """Remove the lines after `step` from the metrics: the resumed run logs them again. Return how many losses stay.

    expected: lines of metrics.jsonl until `step`. Lines that cannot be read are removed, too. warn: called with a
    message for each file that lacks lines; the last one may have been cut by a kill.
    """
    counts = {METRICS: 0}
    for path in (folder / METRICS, folder / SPEED):
        lines: list[bytes] = []
        if path.is_file():
            with writing(path):
                lines = path.read_bytes().splitlines()
        steps = [_step_of(line) for line in lines]
        kept = [line for line, logged in zip(lines, steps, strict=True) if logged is not None and logged <= step]
        counts[path.name] = len(kept)
        lost = max(expected - len(kept), 0) if path.name == METRICS else steps[:-1].count(None)
        if lost:
            warn(f"{path} is damaged: {counted(lost, 'line')} cannot be read")
        if lines:
            write_file(path, b"".join(line + b"\n" for line in kept))
    return counts[METRICS]


def _step_of(line: bytes) -> int | None:
    """Return the step of a line of metrics, or None if it cannot be read."""
    with suppress(ValueError, LookupError, TypeError, RecursionError):
        step = json.loads(line.decode())["step"]
        return step if isinstance(step, int) else None
    return None
