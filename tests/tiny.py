"""A plugin in one file: a small method, and components that a recipe can get wrong in every way."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from i2i_core import detached, hookimpl
from i2i_core.interfaces import Schedule
from i2i_core.recipe.names import NetworkName


@hookimpl
def i2i_components(registry):
    registry.method("method", "tiny")
    registry.dataset("noise", "tiny:Noise")
    registry.network("generator", "tiny:Generator")
    registry.network("discriminator", "tiny:Discriminator")
    registry.network("skip", "tiny:Skip")
    registry.tensor("grey", "tiny:Grey")
    registry.loss("distance", "tiny:Distance")
    registry.loss("chosen", "tiny:make_chosen")
    registry.hook("misspelt", "tiny:Misspelt")
    registry.hook("curious", "tiny:Curious")
    registry.hook("fine", "tiny:Fine")
    registry.hook("timed", "tiny:Timed")


# The method's page.


def x_fake(generator: nn.Module, x_real: Tensor, style: Tensor) -> Tensor:
    made: Tensor = generator(x_real) + style
    return made


def style(y_trg: Tensor) -> Tensor:
    return y_trg.reshape(-1, 1, 1, 1).to(torch.get_default_dtype())


@detached
def x_copy(x_fake: Tensor) -> Tensor:
    return x_fake


def real_logits(discriminator: nn.Module, x_real: Tensor) -> Tensor:
    logits: Tensor = discriminator(x_real)
    return logits


def fake_logits(discriminator: nn.Module, x_fake: Tensor) -> Tensor:
    logits: Tensor = discriminator(x_fake)
    return logits


# Components.


class Noise:
    """Pictures of noise in as many domains as one likes."""

    paired = False

    def __init__(
        self, *, root: Path = Path(), split: Literal["train", "val"] = "train", domains: list[str] | None = None
    ):
        self.domains = tuple(domains or ("a", "b"))

    def count(self, domain):
        return 2

    def picture(self, domain, index):
        from PIL import Image

        return Image.effect_noise((8, 8), 20 + domain + index).convert("RGB")


class SkipLike(Protocol):
    """What a generator accepts as a skip."""

    def forward(self, features: Tensor) -> Tensor: ...


class Skip(nn.Module):
    """Adds nothing."""

    def __init__(self, *, strength: float = 1.0):
        super().__init__()
        self.strength = strength

    def forward(self, features):
        return 0 * features


class Generator(nn.Module):
    """A convolution, and a skip around it."""

    def __init__(
        self,
        *,
        num_domains: int,
        width: int = 4,
        kind: Literal["slim", "wide"] = "slim",
        skip: SkipLike | None = None,
        size: int | tuple[int, int] = 8,
    ):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)


class Discriminator(nn.Module):
    """A convolution and a mean."""

    def __init__(self, *, twin: NetworkName | None = None):
        super().__init__()
        self.convolution = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        return self.convolution(x).mean((1, 2, 3))


class Grey:
    """A picture without colours, brighter where there is light."""

    def __init__(self, *, power: float = 1.0):
        if power < 0:
            raise ValueError(f"power must not be negative, as {power} is")
        self.power = power

    def __call__(self, of, light=None):
        return of.mean(1, keepdim=True).expand_as(of)


class Distance:
    """How far a is from b."""

    def __init__(self, *, norm: int = 1, names: list[NetworkName] = []):  # noqa: B006
        self.norm = norm

    def __call__(self, a, b):
        return (a - b).abs().mean()


def make_chosen(*, reads: Literal["one", "two"], norm: int = 1):
    """A loss whose arguments depend on its keys."""
    return {"one": lambda x_fake: x_fake.mean(), "two": lambda x_fake, x_copy: (x_fake - x_copy).mean()}[reads]


class Misspelt:
    """A hook that would never be called."""

    def after_stepp(self, run):
        pass

    def start(self):
        """Close to an event, and not an event."""


class Curious:
    """A hook that asks for what an event does not know."""

    @torch.no_grad()
    def after_phase(self, run, los):
        pass


class Fine:
    """A hook with a helper, a default and a decorator."""

    def run(self):
        pass

    @torch.no_grad()
    def after_step(self, losses, run, color="red"):
        pass


class Timed:
    """A hook with numbers that may change."""

    def __init__(self, *, at: Schedule, late: Schedule | None = None):
        self.at, self.late = at, late
