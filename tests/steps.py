"""A plugin in one file: a small GAN on four numbers of a picture, whose training is easy to write by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i_core import hookimpl
from i2i_core.interfaces import RunContext, Schedule, number_at


@hookimpl
def i2i_components(registry: Any) -> None:
    registry.method("method", "steps")
    registry.dataset("noise", "steps:Noise")
    registry.network("mlp", "steps:Mlp")
    registry.network("normed", "steps:Normed")
    registry.network("recolour", "steps:Recolour")
    registry.loss("critic", "steps:critic")
    registry.loss("wish", "steps:wish")
    registry.loss("pull", "steps:pull")
    registry.hook("diary", "steps:Diary")


# The method's page.


def real(x_real: Tensor) -> Tensor:
    return x_real[:, 0, 0, :4]


def z(normal: Callable[..., Tensor]) -> Tensor:
    return normal(4)


def fake(generator: nn.Module, z: Tensor) -> Tensor:
    made: Tensor = generator(z)
    return made


def real_logits(discriminator: nn.Module, real: Tensor) -> Tensor:
    logits: Tensor = discriminator(real)
    return logits


def fake_logits(discriminator: nn.Module, fake: Tensor) -> Tensor:
    logits: Tensor = discriminator(fake)
    return logits


def features(encoder: nn.Module, fake: Tensor) -> Tensor:
    found: Tensor = encoder(fake)
    return found


def x_fake(recolour: nn.Module, x_real: Tensor, uniform: Callable[..., Tensor], step: int) -> Tensor:
    made: Tensor = recolour(x_real) + uniform(3, 1, 1) + step
    return made


# Components.


class Noise:
    """Pictures of noise."""

    domains = ("a", "b")
    paired = False

    def count(self, domain: int) -> int:
        return 5

    def picture(self, domain: int, index: int) -> Any:
        from PIL import Image

        noise = np.random.default_rng([domain, index]).integers(0, 256, (8, 8, 3), np.uint8)
        return Image.fromarray(noise)


class Mlp(nn.Module):
    """Two linear layers on four numbers."""

    def __init__(self, *, outputs: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.tanh(self.first(x)))
        return y


class Normed(nn.Module):
    """A batch norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.norm(x))
        return y


class Recolour(nn.Module):
    """A convolution of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x)
        return y


def critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The objective of the critic."""
    return (fake_logits - real_logits).mean() + 0.1 * real_logits.square().mean()


def wish(fake_logits: Tensor) -> Tensor:
    """The objective of the generator."""
    return -fake_logits.mean()


def pull(of: Tensor, step: int, *, strength: float | Schedule = 1.0) -> Tensor:
    """A mean square times a number or a schedule. strength: the number."""
    return number_at(strength, step) * of.square().mean()


class Diary:
    """Notes the step and the phase of each event."""

    def __init__(self) -> None:
        self.before: list[tuple[int, str]] = []
        self.after: list[tuple[int, str]] = []

    def before_phase(self, run: RunContext, phase: str) -> None:
        self.before.append((run.step, phase))

    def after_phase(self, run: RunContext, phase: str) -> None:
        self.after.append((run.step, phase))
