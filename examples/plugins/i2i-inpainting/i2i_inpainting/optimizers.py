"""The optimizer of the paper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1)]


def adadelta(
    params: Iterable[Tensor], *, lr: NonNegativeFloat = 1.0, rho: Decay = 0.95, eps: NonNegativeFloat = 1e-6
) -> torch.optim.Optimizer:
    """ADADELTA (Zeiler 2012), whose steps need no learning rate.

    lr: factor of each step. rho: decay rate ρ of the moving averages, in [0, 1). eps: ε under the square roots.
    """
    return torch.optim.Adadelta(params, lr=lr, rho=rho, eps=eps)
