"""The schedule of the learning rate (appendix B.1)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt


class Halving:
    """A number that is halved every n steps.

    value: the first value. period: the number n of steps.
    """

    def __init__(self, *, value: Annotated[float, Field(allow_inf_nan=False)], period: PositiveInt) -> None:
        self.value, self.period = value, period

    def __call__(self, step: int) -> float:
        return self.value * 0.5 ** (step // self.period)

    def __str__(self) -> str:
        return f"{self.value:g}, halved every {self.period:,} steps"
