"""The method: a page of named tensors. An argument is a network, a field of the batch or another tensor, by its name.

Pictures are (N, 3, H, W) in [-1, 1]; the target domains y_trg are (N,). Losses ask for tensors by name, too.
"""

from __future__ import annotations

from torch import Tensor, nn


def x_fake(generator: nn.Module, x_real: Tensor, y_trg: Tensor) -> Tensor:
    x: Tensor = generator(x_real, y_trg)
    return x
