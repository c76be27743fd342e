"""Experiment trackers, by way of Accelerate."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal

import numpy as np
from accelerate.tracking import filter_trackers

from i2i_core.data.decoding.files import read_picture
from i2i_core.interfaces import RunContext


class Tracker:
    """Logger of metrics and pictures to an experiment tracker.

    Pictures are those that hooks write to the folder samples of the run, such as sample grids, by the name of the hook.
    to: "tensorboard", "wandb" or "trackio", which has to be installed. project: name of the project there. pictures:
    whether it gets pictures.
    """

    order = "last"  # after the hooks that draw

    def __init__(
        self,
        *,
        to: Literal["tensorboard", "wandb", "trackio"] = "tensorboard",
        project: str = "i2i",
        pictures: bool = True,
    ) -> None:
        if importlib.util.find_spec(to) is None:
            raise ValueError(f"{to} is not installed; pip install {to}, or set this hook to null")
        self.to, self.project, self.pictures = to, project, pictures
        self._changed = 0

    def run_start(self, run: RunContext) -> None:
        if run.folder is None:
            return
        accelerator = run.accelerator
        accelerator.log_with = filter_trackers([self.to], str(run.folder / "logs"))
        accelerator.project_configuration.set_directories(str(run.folder / "logs"))
        accelerator.init_trackers(self.project, config={"seed": run.recipe.seed, "steps": run.recipe.steps})

    def after_step(self, run: RunContext) -> None:
        if not self.pictures or not run.is_main or run.folder is None:
            return
        folder, prefix = run.folder / "samples", f"step-{run.step:08d}-"
        changed = folder.stat().st_mtime_ns if folder.is_dir() else 0
        if changed != self._changed:  # else no hook has drawn; listing a long folder takes time
            for file in sorted(folder.glob(f"{prefix}*.png")):
                self._send(run.accelerator.get_tracker(self.to), file, file.stem.removeprefix(prefix), run.step)
        self._changed = changed

    def _send(self, tracker: Any, file: Path, name: str, step: int) -> None:
        picture = read_picture(file)
        if self.to == "tensorboard":
            tracker.log_images({f"samples/{name}": np.asarray(picture)[None]}, step=step, dataformats="NHWC")
        elif self.to == "wandb":
            tracker.log_images({f"samples/{name}": [picture]}, step=step)
        else:
            import trackio

            tracker.log({f"samples/{name}": trackio.Image(picture)}, step=step)
