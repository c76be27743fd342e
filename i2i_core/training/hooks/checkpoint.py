"""Saving while training."""

from __future__ import annotations

from pydantic import PositiveInt

from i2i_core.interfaces import RunContext


class SaveCheckpoints:
    """Saves every n steps and after the last, keeping the newest `keep` checkpoints.

    every: steps between two checkpoints.
    """

    order = "last"  # so that a resumed run misses nothing that other hooks do at a saved step

    def __init__(self, *, every: PositiveInt = 1000, keep: PositiveInt = 3) -> None:
        self.every, self.keep = every, keep

    def after_step(self, run: RunContext) -> None:
        if run.step % self.every == 0 or run.step == run.recipe.steps:
            run.save(self.keep)
