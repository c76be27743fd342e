"""Saving while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt

if TYPE_CHECKING:
    from i2i_core.training.run import Run


class Checkpoint:
    """Saves every n steps and after the last, keeping the newest `keep` checkpoints.

    It hears `after_step` after all other hooks: a resumed run misses nothing that they do at a saved step.
    """

    def __init__(self, *, every: PositiveInt = 1000, keep: PositiveInt = 3) -> None:
        self.every, self.keep = every, keep

    def after_step(self, run: Run) -> None:
        if run.step % self.every == 0 or run.step == run.recipe.steps:
            run.save(self.keep)
