"""A run's folder: made exclusively, locked while in use, with the resolved recipe and the state of affairs in it."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock

from i2i_core import state
from i2i_core.errors import CheckpointError, I2IError, Locked
from i2i_core.plugins import Plugins

RECIPE, STATUS, METRICS = "recipe.yaml", "status.json", "metrics.jsonl"


def make(run_dir: Path | None, name: str) -> Path:
    """A new run folder: `run_dir`, else runs/<name>-001 or the next free number; raises I2IError when it is taken."""
    try:
        if run_dir is not None:
            run_dir.mkdir(parents=True, exist_ok=True)
            if (run_dir / RECIPE).exists():
                raise _Taken(f"{run_dir} already holds a run; continue it with --resume or choose another --run-dir")
            return run_dir
        for number in range(1, 1_000_000):
            folder = Path("runs") / f"{name}-{number:03d}"
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                continue
        raise _Taken(f"runs/ has no free number left for {name}")
    except OSError as error:
        raise state.disk_error(error, run_dir or Path("runs")) from error


class _Taken(I2IError):
    exit_code = 2


def lock(folder: Path) -> filelock.BaseFileLock:
    """Hold the folder until the process ends; raises Locked when another process has it."""
    held = filelock.FileLock(folder / "run.lock")
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        raise Locked(f"{folder} is in use by another process; wait for it, or choose another --run-dir") from None
    except OSError as error:
        raise state.disk_error(error, folder) from error
    return held


def write_environment(folder: Path, plugins: Plugins, world: int, threads: int) -> None:
    """env.json: the versions and the machine that made this run."""
    versions = {name: metadata.version(name) for name in ("i2i", "torch", "torchvision", "accelerate", "safetensors")
                if _installed(name)}
    rows = {row.name: row.version for row in plugins.rows if not row.error}
    facts = {"python": platform.python_version(), "platform": platform.platform(), "versions": versions,
             "plugins": rows, "plugin_files": [str(f) for f in plugins.files], "world_size": world,
             "threads": threads, "command": sys.argv}
    state.write_file(folder / "env.json", json.dumps(facts, indent=1))


def write_status(folder: Path, status: str, step: int, exit_code: int | None = None, message: str = "") -> None:
    """status.json: running, finished, stopped or failed; torchrun hides exit codes, so they are here too."""
    facts: dict[str, Any] = {"status": status, "step": step, "exit_code": exit_code, "message": message,
                             "pid": os.getpid(), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    state.write_file(folder / STATUS, json.dumps(facts, indent=1))


def is_finished(folder: Path) -> bool:
    """Whether the run ended well, with all that its hooks do at the end."""
    try:
        return bool(json.loads((folder / STATUS).read_text(encoding="utf-8"))["status"] == "finished")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def truncate_metrics(folder: Path, step: int) -> None:
    """Forget what was logged after `step`: a resumed run will log it again."""
    path = folder / METRICS
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):  # a line that a kill cut short
            continue
    state.write_file(path, "".join(kept))


def checkpoint_to_resume(folder: Path, warn: Callable[[str], None]) -> state.Checkpoint | None:
    """The newest checkpoint that verifies; None when none was ever saved; raises CheckpointError when all are bad."""
    found, bad = state.newest(folder / "checkpoints")
    if found is None and bad:
        raise CheckpointError(f"no checkpoint of {folder} is usable: {'; '.join(bad)}")
    if found is None:
        warn(f"{folder} has no checkpoint yet; starting at step 0")
        return None
    for message in bad:
        warn(f"{message}; using {found.path.name}")
    return found


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False
