"""A schedule of steps: learning rates that are halved at given iterations."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

from pydantic import Field, NonNegativeInt

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Piecewise:
    """A number that is constant between given steps (Wang et al. 2018, section 4.1).

    values: the numbers, in order. at: the steps from which on the second, third, ... number holds, in order.

    Raises ValueError unless there is one more value than steps, and the steps rise.
    """

    def __init__(self, *, values: tuple[Finite, ...], at: tuple[NonNegativeInt, ...]) -> None:
        if len(values) != len(at) + 1:
            raise ValueError(f"{len(at)} steps need {len(at) + 1} values, not {len(values)}")
        if list(at) != sorted({*at}):
            raise ValueError(f"the steps {', '.join(map(str, at))} should rise")
        self.values, self.at = values, at

    def __call__(self, step: int) -> float:
        return self.values[bisect_right(self.at, step)]

    def __str__(self) -> str:
        first, *rest = self.values
        return ", ".join([f"{first:g}", *(f"{v:g} from {step:,}" for v, step in zip(rest, self.at, strict=True))])
