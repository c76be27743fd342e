"""Numbers that change over a run: functions of the step, so there is nothing to save or lose."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt


class Ramp(BaseModel):
    """A straight line from ramp[0] at step 0 to ramp[1] at step `over`, constant afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ramp: tuple[float, float]
    over: PositiveInt = 1

    def __call__(self, step: int) -> float:
        start, end = self.ramp
        return start + (end - start) * min(step / self.over, 1.0)


def _number_is_constant(value: Any) -> Any:
    return {"ramp": (value, value)} if not isinstance(value, dict | Ramp) else value


Schedule = Annotated[Ramp, BeforeValidator(_number_is_constant)]
"""A number, or {ramp: [start, end], over: steps}."""
