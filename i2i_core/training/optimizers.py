"""Optimizers as recipes name them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1)]
"""How much of a running average is kept at each step."""


def _uncompiled(cls: Any) -> Any:
    """`cls` without what torch wraps around its methods for a compiled step: it imports the compiler, for 0.9 s."""
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
    """Adam (Kingma and Ba 2015) with the weight decay added to the gradient.

    lr: the learning rate α; betas: β₁ and β₂ of the running moments; eps: ε beside the root of the second;
    weight_decay: the share of each parameter that is added to its gradient.
    """
    return Adam(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)


def sgd(
    params: Iterable[Tensor],
    *,
    lr: NonNegativeFloat,
    momentum: NonNegativeFloat = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent.

    lr: the learning rate; momentum: how much of the last step is repeated; weight_decay: as for adam.
    """
    return SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
