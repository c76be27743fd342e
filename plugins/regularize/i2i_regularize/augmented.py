"""Base class of DiffAugment and ADA, and a differentiable selection of pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn


class Augmented(nn.Module, ABC):
    """Network whose input pictures are augmented in training mode and unchanged in eval mode.

    network: the wrapped network; it is called with the same arguments.

    Every argument that is a floating-point tensor (N, C, H, W) is augmented. All of them get the same parameters, so
    pairs stay pairs. Other arguments, such as domains, are passed on unchanged.

    Random numbers come from torch's generator of the device, which the trainer seeds for each step and process. A
    resumed run draws the same numbers. As with dropout, the numbers depend on the number of processes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: object, **named: object) -> Any:
        pictures = [x for x in (*inputs, *named.values()) if _is_picture(x)]
        if not self.training or not pictures:
            return self.network(*inputs, **named)
        n, device, dtype = len(pictures[0]), pictures[0].device, _at_least_fp32(pictures[0].dtype)
        draws = self.draw(n, device, dtype)

        def seen(x: object) -> object:
            if not _is_picture(x):
                return x
            with torch.autocast(x.device.type, enabled=False):  # bf16 is too coarse for positions of pixels
                return self.augment(x.to(dtype), draws).to(x.dtype)

        return self.network(*map(seen, inputs), **{name: seen(x) for name, x in named.items()})

    @abstractmethod
    def draw(self, n: int, device: torch.device, dtype: torch.dtype) -> Any:
        """Draw the random numbers for n samples."""

    @abstractmethod
    def augment(self, x: Tensor, draws: Any) -> Tensor:
        """Augment x (N, C, H, W) in [-1, 1]; the result depends on x and `draws` only."""


def pick(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Select pixels of x (N, C, H, W): out[n, :, i, j] = x[n, :, rows[n, i, j], columns[n, i, j]].

    rows, columns: integers that broadcast to (N, H, W).

    The function is linear in x and can be differentiated twice, as R1 needs.
    """
    places = (rows * x.shape[3] + columns).long().expand(len(x), *x.shape[2:]).flatten(1)
    return x.flatten(2).gather(2, places[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def _is_picture(x: object) -> TypeGuard[Tensor]:
    return isinstance(x, Tensor) and x.dim() == 4 and x.is_floating_point()


def _at_least_fp32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
