"""Schedules: numbers as functions of the step."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Constant:
    """A constant.

    value: the number at every step.
    """

    def __init__(self, *, value: Finite) -> None:
        self.value = value

    def __call__(self, step: int) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:g}"


class Linear:
    """A linear ramp from one number to another.

    ramp: the first and the last value. over: length of the ramp in steps; the last value holds afterwards.
    after: step at which the ramp begins; the first value holds before. warmup: number of first steps in which the value
    is scaled by 1/warmup, 2/warmup, ..., 1.
    """

    shape = ""
    """Name of the curve in the output of `i2i explain`."""

    def __init__(
        self,
        *,
        ramp: tuple[Finite, Finite],
        over: PositiveInt = 1,
        after: NonNegativeInt = 0,
        warmup: NonNegativeInt = 0,
    ) -> None:
        self.ramp, self.over, self.after, self.warmup = ramp, over, after, warmup

    def __call__(self, step: int) -> float:
        start, end = self.ramp
        share = self.curve(min(max(step - self.after, 0) / self.over, 1.0))
        warm = min((step + 1) / self.warmup, 1.0) if self.warmup else 1.0
        return warm * (start + (end - start) * share)

    def curve(self, share: float) -> float:
        """Map the fraction of steps done to the fraction of the ramp covered, both in [0, 1]."""
        return share

    def __str__(self) -> str:
        start, end = self.ramp
        text = f"{start:g}"
        if start != end:
            text += f" to {end:g} over {self.over:,} steps" + f" after {self.after:,}" * bool(self.after) + self.shape
        return text + f", warmed up over {self.warmup:,} steps" * bool(self.warmup)


class Cosine(Linear):
    """A half-cosine ramp from one number to another, flat at both ends (Loshchilov and Hutter 2017, equation 5).

    ramp, over, after and warmup: as for linear.
    """

    shape = " on a cosine"

    def curve(self, share: float) -> float:
        return (1 - math.cos(math.pi * share)) / 2
