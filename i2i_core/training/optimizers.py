"""The optimizers of the core."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from i2i_core.recipe.sections import Decay

NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _uncompiled(cls: Any) -> Any:
    """Return `cls` without torch's wrappers for compiled steps, which import the compiler and take 0.9 s."""
    return type(
        cls.__name__,
        (cls,),
        {"add_param_group": inspect.unwrap(cls.add_param_group), "step": torch.no_grad()(inspect.unwrap(cls.step))},
    )


Adam: type[torch.optim.Adam] = _uncompiled(torch.optim.Adam)
SGD: type[torch.optim.SGD] = _uncompiled(torch.optim.SGD)


def adam(
    params: Iterable[Tensor],
    *,
    lr: NonNegativeFloat = 1e-4,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    eps: NonNegativeFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), with weight decay as an L2 penalty.

    lr: learning rate α. betas: decay rates β₁ and β₂ of the moments, in [0, 1). eps: ε in the denominator √v̂ + ε.
    weight_decay: factor of each parameter that is added to its gradient.
    """
    return Adam(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)


def sgd(
    params: Iterable[Tensor],
    *,
    lr: NonNegativeFloat,
    momentum: NonNegativeFloat = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with optional momentum.

    lr: learning rate. momentum: factor of the last step that is added to each step. weight_decay: as for adam.
    """
    return SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
