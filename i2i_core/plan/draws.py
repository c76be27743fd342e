"""Random numbers as functions of (seed, step, name, place in the global batch), without state to save."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed, a hash of the parts' `repr`, which is the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the default generators of the CPU and of `device`, which components such as dropout draw from.

    torch.manual_seed seeds those of every kind of accelerator, which takes 0.4 ms even without one.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@dataclass(frozen=True)
class Draws:
    """Random numbers of one step for the samples [start, stop) of a global batch of `total` samples.

    shared: all samples get the numbers of the first one, for example so that a row of a grid has one style.
    """

    seed: int
    step: int
    start: int
    stop: int
    total: int
    device: torch.device
    dtype: torch.dtype
    shared: bool = False

    def of(self, kind: str, name: str) -> Callable[..., Tensor]:
        """Return the built-in argument `kind`, "normal" or "uniform", of the tensor or loss `name`."""
        return self.normal(name) if kind == "normal" else self.uniform(name)

    def normal(self, name: str) -> Callable[..., Tensor]:
        """Return the function `normal` of the tensor `name`: normal(*shape) returns (N, *shape), drawn from N(0, I).

        A sample gets the same numbers for any number of processes.
        """
        return partial(self._draw, torch.randn, seed_of(self.seed, self.step, name))

    def uniform(self, name: str) -> Callable[..., Tensor]:
        """Return the function `uniform` of the tensor `name`: uniform(*shape) returns (N, *shape), drawn from U[0, 1).

        A sample gets the same numbers for any number of processes.
        """
        return partial(self._draw, torch.rand, seed_of(self.seed, self.step, name, "uniform"))

    def _draw(self, distribution: Callable[..., Tensor], seed: int, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        numbers = distribution(1 if self.shared else self.total, *shape, generator=generator, dtype=torch.float32)
        return numbers.expand(self.total, *shape)[self.start : self.stop].to(self.device, self.dtype)
