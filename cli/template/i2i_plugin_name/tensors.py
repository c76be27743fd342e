"""Method: functions that compute named tensors. Arguments name networks, fields of the batch or other tensors.

Pictures have the shape (N, 3, H, W) and values in [-1, 1]; the target domains y_trg have the shape (N,). Losses read
tensors by name too.
"""

from __future__ import annotations

from torch import Tensor, nn


def x_fake(generator: nn.Module, x_real: Tensor, y_trg: Tensor) -> Tensor:
    """Translation of x_real into the domains y_trg."""
    x: Tensor = generator(x_real, y_trg)
    return x
