"""A hook is an object whose methods are named after events; each takes what it needs of the event's arguments."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.interfaces import RunContext


class Smooth:
    """Logs a running average of every loss as "phase/loss/smooth".

    After every step, average ← average + (loss − average) / min(step, over). `over`: about how many steps it
    reaches back; `every`: how many steps lie between two lines of the log.
    """

    def __init__(self, *, over: PositiveInt = 50, every: PositiveInt = 10) -> None:
        self.over, self.every = over, every

    def run_start(self, run: RunContext) -> None:
        """Make all that `state_dict` gives; a resumed run loads it next."""
        names = [f"{phase}/{loss}" for phase in run.recipe.phases for loss, _ in run.recipe.terms(phase)]
        self.averages = {name: torch.zeros((), device=run.accelerator.device) for name in names}

    def after_step(self, run: RunContext, losses: Mapping[str, Tensor]) -> None:
        for name, loss in losses.items():
            self.averages[name].lerp_(loss.float(), 1 / min(run.step, self.over))
        if run.step % self.every == 0:
            run.log({f"{name}/smooth": float(average) for name, average in self.averages.items()})

    def state_dict(self) -> dict[str, Tensor]:
        return self.averages

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, average in self.averages.items():
            average.copy_(state[name])
