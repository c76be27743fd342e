"""Shares of a batch: the samples that each process computes, and the parts for gradient accumulation."""

from __future__ import annotations

from accelerate import Accelerator

from i2i_core.errors import Problem, RecipeError
from i2i_core.recipe.sections import Recipe


class Shares:
    """The share of a batch of process `rank` out of `world`."""

    def __init__(self, recipe: Recipe, accelerator: Accelerator) -> None:
        """Raises RecipeError if the batch cannot be divided equally by processes and parts."""
        self.total, self.parts = recipe.data.batch_size, recipe.data.gradient_accumulation
        """Number of samples of the whole batch, and number of parts of a process's share."""
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
        """Number of samples of a process."""
        return self.total // self.world

    @property
    def part(self) -> int:
        """Number of samples that a process computes at a time."""
        return self.size // self.parts

    def range(self, part: int | None = None) -> tuple[int, int]:
        """Return the range [start, stop) of the samples of this process, or of a part of its share."""
        first = self.rank * self.size + (part or 0) * self.part
        return first, first + (self.size if part is None else self.part)
