"""Random numbers as functions of (seed, step, name, place in the global batch), so that none has state to save."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any printable parts, the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """What components draw by themselves (dropout, say) on the CPU and on `device`.

    torch.manual_seed does it for every kind of accelerator there is, which takes 0.4 ms even where there is none.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@dataclass(frozen=True)
class Draws:
    """Draws for one process's share [start, stop) of a global batch of `total` samples at one step.

    shared: every sample gets the draw of the first one, so that a grid's row has one style.
    """

    seed: int
    step: int
    start: int
    stop: int
    total: int
    device: torch.device
    dtype: torch.dtype
    shared: bool = False

    def normal(self, name: str) -> Callable[..., Tensor]:
        """What the tensor `name` gets as `normal`: normal(*shape) -> (N, *shape) from N(0, I).

        A world of any size draws the same numbers for the same sample.
        """

        def draw(*shape: int) -> Tensor:
            generator = torch.Generator().manual_seed(seed_of(self.seed, self.step, name))
            numbers = torch.randn(1 if self.shared else self.total, *shape, generator=generator, dtype=torch.float32)
            return numbers.expand(self.total, *shape)[self.start : self.stop].to(self.device, self.dtype)

        return draw
