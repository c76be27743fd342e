"""A discriminator sees some earlier fakes, too, so that it does not forget them (CycleGAN, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor


class ImagePool:
    """Pictures `of` (N, C, H, W), of which about half are swapped for earlier ones.

    The pool keeps `size` pictures. Until it is full every picture passes and is kept; then each picture, with
    probability 1/2, takes the place of one from the pool, which is shown instead. What comes out has no gradient: it is
    for a discriminator's loss, `where: {x_fake: pooled}`. Each process has a pool of its own.
    """

    detached = True
    """For the plan, as `@detached` of a function."""

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
        for n in range(len(new), len(of)):  # one by one, as two may want one place; none waits for the device
            picture, swapped, place = of[n : n + 1], swap[n] < 0, places[n : n + 1]
            old = self.pictures.index_select(0, place)
            shown.append(torch.where(swapped, old, picture))
            self.pictures.index_copy_(0, place, torch.where(swapped, picture, old))
        return torch.cat(shown)

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.pictures is None else {"pictures": self.pictures}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.pictures = state.get("pictures")
