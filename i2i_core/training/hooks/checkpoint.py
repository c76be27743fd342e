"""Saving checkpoints during training."""

from __future__ import annotations

from pydantic import PositiveInt

from i2i_core.interfaces import RunContext


class SaveCheckpoints:
    """Checkpoints at regular intervals and after the last step.

    every: steps between two checkpoints. keep: number of newest checkpoints to keep. Older ones are deleted once a step
    was made from the newest. The last one before weights exploded is kept, too.
    """

    order = "last"  # so that a checkpoint includes what other hooks do in its step

    def __init__(self, *, every: PositiveInt = 1000, keep: PositiveInt = 3) -> None:
        self.every, self.keep = every, keep

    def after_step(self, run: RunContext) -> None:
        if run.step % self.every == 0 or run.step == run.recipe.steps:
            run.save(self.keep)
