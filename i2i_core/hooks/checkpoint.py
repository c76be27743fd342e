"""Saving while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from i2i_core.run import Run


class Checkpoint:
    """Saves every n steps and at the end, keeping the newest `keep` checkpoints."""

    def __init__(self, *, every: int = 1000, keep: int = 3) -> None:
        if every < 1 or keep < 1:
            raise ValueError("every and keep must be at least 1")
        self.every, self.keep = every, keep

    def after_step(self, run: Run) -> None:
        if run.step % self.every == 0 and run.step < run.recipe.steps:
            run.save(self.keep)

    def run_end(self, run: Run) -> None:
        run.save(self.keep)
