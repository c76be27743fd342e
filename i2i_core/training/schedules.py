"""Numbers that change over a run: functions of the step, so there is nothing to save or lose."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, NonNegativeInt, PositiveInt


class Ramp(BaseModel):
    """From ramp[0], kept until step `after`, to ramp[1] within `over` steps, constant afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    ramp: tuple[float, float]
    """The first value and the last."""
    over: PositiveInt = 1
    """Steps from the first to the last."""
    after: NonNegativeInt = 0
    """The step until which the first is kept."""
    curve: Literal["linear", "cosine"] = "linear"
    """A straight line, or half a cosine, flat at both ends (Loshchilov and Hutter 2017, equation 5)."""
    warmup: NonNegativeInt = 0
    """Over its first steps the value is scaled by 1/warmup, 2/warmup, ..., 1."""

    def __call__(self, step: int) -> float:
        start, end = self.ramp
        share = min(max(step - self.after, 0) / self.over, 1.0)
        if self.curve == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        warm = min((step + 1) / self.warmup, 1.0) if self.warmup else 1.0
        return warm * (start + (end - start) * share)

    @property
    def constant(self) -> bool:
        return self.ramp[0] == self.ramp[1] and not self.warmup

    def __str__(self) -> str:
        start, end = self.ramp
        said = f"{start:g}" if start == end else f"{start:g} to {end:g} over {self.over:,} steps"
        if start != end:
            said += f" after {self.after:,}" * bool(self.after) + " on a cosine" * (self.curve == "cosine")
        return said + f", warmed up over {self.warmup:,} steps" * bool(self.warmup)


def _number_is_constant(value: Any) -> Any:
    return {"ramp": (value, value)} if not isinstance(value, dict | Ramp) else value


Schedule = Annotated[Ramp, BeforeValidator(_number_is_constant, float | Ramp)]
"""A number, or {ramp: [start, end], over: steps}."""
