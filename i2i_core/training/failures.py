"""Errors that stop a run, as sentences for users."""

from __future__ import annotations

import os
import shlex
import traceback
from contextlib import suppress
from pathlib import Path

import torch

from i2i_core.disk.files import FULL, disk_error, write_file
from i2i_core.errors import DiskError, DiskFull, I2IError, Interrupted, OutOfMemory, Preempted
from i2i_core.registry.plugins import Plugins
from i2i_core.training.run_folder import RECIPE
from i2i_core.training.stopping import Terminated


def how_to_resume(folder: Path, plugins: Plugins) -> str:
    """Return a phrase with the command that resumes the run, or with the advice to start it again."""
    if not (folder / RECIPE).exists():
        return "training had not begun; start it again"
    loaded = [("--plugin", file) for file in plugins.files]
    if plugins.registry_file is not None:
        loaded.append(("--registry", plugins.registry_file))
    words = ["i2i", "train", "--run-dir", folder, "--resume", *(word for pair in loaded for word in pair)]
    return f"continue with: {shlex.join(map(str, words))}"


def explained(error: BaseException, folder: Path, plugins: Plugins) -> BaseException:
    """Return the error for the user. An unexpected one stays as it is; a note names the file with its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"interrupted; {how_to_resume(folder, plugins)}")
    if isinstance(error, Terminated):
        return Preempted(f"stopped by SIGTERM; {how_to_resume(folder, plugins)}")
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return OutOfMemory(f"out of memory: {error}; i2i train --recipe ... --dry-run says which switch makes it fit")
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
