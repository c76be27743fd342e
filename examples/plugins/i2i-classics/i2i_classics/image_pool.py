"""Image pool: a history of translations from which the discriminator is trained too (CycleGAN, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor


class ImagePool:
    """Pool of earlier translations: about half of its output are earlier pictures (CycleGAN, section 4).

    Input: `of`, pictures (N, C, H, W). Output: pictures of the same shape, without gradient.

    size: number of pictures in the pool.

    Until the pool is full, every picture is stored and returned. Afterwards each picture is, with probability 1/2,
    exchanged for a random one of the pool. The output is for a discriminator's loss: `where: {x_fake: pooled}`. Each
    process has its own pool.
    """

    detached = True
    """Tells the planner that the output has no gradient, like `@detached` for functions."""

    def __init__(self, *, size: PositiveInt = 50) -> None:
        self.size = size
        self.pictures: Tensor | None = None

    def __call__(self, of: Tensor, normal: Callable[..., Tensor]) -> Tensor:
        of = of.detach()
        if self.pictures is None:
            self.pictures = of[:0]
        new = of[: self.size - len(self.pictures)]
        shown = [new]
        if len(new):
            self.pictures = torch.cat([self.pictures, new])
        swap, uniform = normal(2).unbind(1)
        places = torch.special.ndtr(uniform.double()).mul(self.size).long().clamp(max=self.size - 1)
        for n in range(len(new), len(of)):  # one by one, since two may draw one place; never waits for the device
            picture, swapped, place = of[n : n + 1], swap[n] < 0, places[n : n + 1]
            old = self.pictures.index_select(0, place)
            shown.append(torch.where(swapped, old, picture))
            self.pictures.index_copy_(0, place, torch.where(swapped, picture, old))
        return torch.cat(shown)

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.pictures is None else {"pictures": self.pictures}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.pictures = state.get("pictures")
