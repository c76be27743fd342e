"""Experiment trackers, by way of Accelerate."""

from __future__ import annotations

import importlib.util
from typing import Literal

from accelerate.tracking import filter_trackers

from i2i_core.interfaces import RunContext


class Tracker:
    """Logger of metrics to an experiment tracker.

    to: "tensorboard", "wandb" or "trackio", which has to be installed. project: name of the project there.
    """

    def __init__(self, *, to: Literal["tensorboard", "wandb", "trackio"] = "tensorboard", project: str = "i2i") -> None:
        if importlib.util.find_spec(to) is None:
            raise ValueError(f"{to} is not installed; pip install {to}, or set this hook to null")
        self.to, self.project = to, project

    def run_start(self, run: RunContext) -> None:
        if run.folder is None:
            return
        accelerator = run.accelerator
        accelerator.log_with = filter_trackers([self.to], str(run.folder / "logs"))
        accelerator.project_configuration.set_directories(str(run.folder / "logs"))
        accelerator.init_trackers(self.project, config={"seed": run.recipe.seed, "steps": run.recipe.steps})
