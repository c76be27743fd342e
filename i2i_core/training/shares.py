"""Shares: which samples of a batch a process computes, and in which parts."""

from __future__ import annotations

from accelerate import Accelerator

from i2i_core.errors import Problem, RecipeError
from i2i_core.recipe.sections import Recipe


class Shares:
    """One process's place in the whole batch: process `rank` of `world`."""

    def __init__(self, recipe: Recipe, accelerator: Accelerator) -> None:
        """Raises RecipeError for a batch that cannot be shared by all processes, or not in equal parts."""
        self.total, self.parts = recipe.data.batch_size, recipe.data.gradient_accumulation
        """Samples of the whole batch, and the parts in which a process computes its share."""
        self.world: int = accelerator.num_processes
        self.rank: int = accelerator.process_index
        if self.total % self.world:
            raise RecipeError(
                [
                    Problem(
                        f"data.batch_size {self.total} is the whole batch and cannot be shared by "
                        f"{self.world} processes",
                        recipe.mark("data", "batch_size"),
                    )
                ]
            )
        if self.size % self.parts:
            raise RecipeError(
                [
                    Problem(
                        f"a process's {self.size} samples of a batch cannot be computed in {self.parts} equal parts",
                        recipe.mark("data", "gradient_accumulation"),
                    )
                ]
            )

    @property
    def size(self) -> int:
        """The number of samples of a process."""
        return self.total // self.world

    @property
    def part(self) -> int:
        """The number of samples that a process computes at a time; to draw with as many takes no more memory."""
        return self.size // self.parts

    def range(self, part: int | None = None) -> tuple[int, int]:
        """Return the first sample of this process, or of a part of its share, and the one after the last."""
        first = self.rank * self.size + (part or 0) * self.part
        return first, first + (self.size if part is None else self.part)
