"""Optimizers as recipes name them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def adam(params: Iterable[Tensor], *, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.999),
         eps: float = 1e-8, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015) with the weight decay added to the gradient."""
    return torch.optim.Adam(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)


def sgd(params: Iterable[Tensor], *, lr: float, momentum: float = 0.0,
        weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """Stochastic gradient descent."""
    return torch.optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
