"""Hook: a class whose methods are named after events. Each method takes the arguments of the event that it needs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.interfaces import RunContext


class Smooth:
    """Hook that logs a running average of each loss as PHASE/LOSS/smooth.

    After each step: average ← average + (loss − average) / min(step, over).

    over: number of steps over which is averaged, approximately.
    every: steps between two logged averages.
    """

    def __init__(self, *, over: PositiveInt = 50, every: PositiveInt = 10) -> None:
        self.over, self.every = over, every

    def run_start(self, run: RunContext) -> None:
        """Create the averages; in a resumed run `load_state_dict` then fills them."""
        names = [f"{phase}/{loss}" for phase in run.recipe.phases for loss, _ in run.recipe.terms(phase)]
        self.averages = {name: torch.zeros((), device=run.accelerator.device) for name in names}

    def after_step(self, run: RunContext, losses: Mapping[str, Tensor]) -> None:
        """Update the averages, and log them every `every` steps."""
        for name, loss in losses.items():
            self.averages[name].lerp_(loss.float(), 1 / min(run.step, self.over))
        if run.step % self.every == 0:
            run.log({f"{name}/smooth": float(average) for name, average in self.averages.items()})

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that is saved in checkpoints."""
        return self.averages

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
        for name, average in self.averages.items():
            average.copy_(state[name])
