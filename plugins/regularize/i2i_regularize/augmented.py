"""What DiffAugment and ADA share: a network around another one, and picking pixels so that gradients pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn


class Augmented(nn.Module, ABC):
    """A network that in training mode sees its pictures augmented; in eval mode it is the network that it wraps.

    It is called as that network is. Every picture among the arguments, (N, C, H, W) of floats, is augmented, all of
    them alike, so that a pair stays a pair; what else there is (domains, say) passes through. What a subclass draws
    comes from torch's generator of the device, which the trainer seeds for each step and process: a resumed run
    draws the same, and the draws differ with the number of processes, as those of dropout do.
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
            with torch.autocast(x.device.type, enabled=False):  # bf16 would misplace pixels
                return self.augment(x.to(dtype), draws).to(x.dtype)

        return self.network(*map(seen, inputs), **{name: seen(x) for name, x in named.items()})

    @abstractmethod
    def draw(self, n: int, device: torch.device, dtype: torch.dtype) -> Any:
        """The random numbers for n samples."""

    @abstractmethod
    def augment(self, x: Tensor, draws: Any) -> Tensor:
        """x (N, C, H, W) in [-1, 1], changed as `draws` says and in nothing else."""


def pick(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels of x (N, C, H, W): out[n, :, i, j] = x[n, :, rows[n, i, j], columns[n, i, j]].

    rows, columns: whole numbers that broadcast to (N, H, W). Linear in x, so autograd differentiates it as often as
    R1 needs.
    """
    places = (rows * x.shape[3] + columns).long().expand(len(x), *x.shape[2:]).flatten(1)
    return x.flatten(2).gather(2, places[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def _is_picture(x: object) -> TypeGuard[Tensor]:
    return isinstance(x, Tensor) and x.dim() == 4 and x.is_floating_point()


def _at_least_fp32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
