"""A plugin in one file for the faults: a GAN that trains in milliseconds and has state of every kind."""

from __future__ import annotations

import os
import resource
import time
from typing import Any

import torch
from torch import Tensor, nn

from i2i_core import hookimpl


@hookimpl
def i2i_components(registry: Any) -> None:
    registry.method("method", "fast")
    registry.network("painter", "fast:Painter")
    registry.network("critic", "fast:Critic")
    registry.tensor("before", "fast:Before")
    registry.loss("spoilt", "fast:Spoilt")
    registry.hook("pause", "fast:Pause")
    registry.hook("ruin", "fast:Ruin")
    registry.hook("hungry", "fast:Hungry")


# The method's page.


def x_fake(painter: nn.Module, x_real: Tensor, y_trg: Tensor) -> Tensor:
    made: Tensor = painter(x_real, y_trg)
    return made


def real_logits(critic: nn.Module, x_real: Tensor) -> Tensor:
    logits: Tensor = critic(x_real)
    return logits


def fake_logits(critic: nn.Module, x_fake: Tensor) -> Tensor:
    logits: Tensor = critic(x_fake)
    return logits


# Components.


class Painter(nn.Module):
    """Two convolutions with dropout, which draws random numbers, and a colour for each domain."""

    def __init__(self, *, num_domains: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.colours = nn.Embedding(num_domains, 4)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x) + self.colours(y)[:, :, None, None])
        made: Tensor = torch.tanh(self.last(self.dropout(hidden)))
        return made


class Critic(nn.Module):
    """A convolution, a batch norm, which has buffers, and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(torch.relu(self.norm(self.first(x)))).mean((1, 2, 3))
        return logits


class Before:
    """The mean picture of the step before (at first, of this one)."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None

    def __call__(self, of: Tensor) -> Tensor:
        before, self.mean = self.mean, of.detach().mean(0, keepdim=True)
        return (self.mean if before is None else before).expand_as(of)

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.mean is None else {"mean": self.mean}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.mean = state.get("mean")


class Pause:
    """Makes each step last longer. seconds: how much."""

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds

    def before_phase(self, phase: str) -> None:
        if phase == "critic":
            time.sleep(self.seconds)


class Spoilt:
    """Zero, but at call number `at` the value, as the loss or as its gradient."""

    def __init__(self, *, at: int, value: float, gradient: bool = False) -> None:
        self.at, self.value, self.gradient, self.calls = at, value, gradient, 0

    def __call__(self, x_fake: Tensor) -> Tensor:
        self.calls += 1
        nothing = 0 * x_fake.sum()
        if self.calls != self.at:
            return nothing
        if self.gradient:
            nothing.register_hook(lambda gradient: gradient * self.value)
            return nothing
        return nothing + self.value


class Ruin:
    """Sets a weight of the painter after a step. value: what it becomes."""

    def __init__(self, *, step: int, value: float) -> None:
        self.step, self.value = step, value

    @torch.no_grad()
    def after_step(self, run: Any) -> None:
        if run.step == self.step:
            next(run.networks["painter"].parameters()).view(-1)[0] = self.value


class Hungry:
    """Asks for more memory than there is, in the step that follows `step` steps. kind: who is asked."""

    def __init__(self, *, step: int, kind: str, rank: int = 0) -> None:
        self.step, self.kind, self.rank = step, kind, rank

    def before_phase(self, run: Any, phase: str) -> None:
        if run.step == self.step and phase == "painter" and int(os.environ.get("RANK", "0")) == self.rank:
            resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
            torch.ones(1 << 36) if self.kind == "torch" else bytearray(1 << 38)
