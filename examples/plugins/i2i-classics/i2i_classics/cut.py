"""CUT and FastCUT as named tensors (Park et al. 2020, section 3).

x_real is a picture x of the source domain, x_ref one y of the target domain: `data.targets: {X: Y}` says which these
are. Pictures are (N, 3, H, W) in [-1, 1]; features are lists of (N, C_l, H_l, W_l), a map per layer of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .resnet import ResnetGenerator


def features(generator: ResnetGenerator, x_real: Tensor) -> list[Tensor]:
    """G_enc(x)."""
    found: list[Tensor] = generator.encode(x_real)
    return found


def x_fake(generator: ResnetGenerator, features: list[Tensor]) -> Tensor:
    """ŷ = G_dec(G_enc(x))."""
    x: Tensor = generator.decode(features)
    return x


def fake_features(generator: ResnetGenerator, x_fake: Tensor) -> list[Tensor]:
    """G_enc(ŷ)."""
    found: list[Tensor] = generator.encode(x_fake)
    return found


# What is of the target domain already should keep its patches (the external loss of section 3).


def ref_features(generator: ResnetGenerator, x_ref: Tensor) -> list[Tensor]:
    """G_enc(y)."""
    found: list[Tensor] = generator.encode(x_ref)
    return found


def same_features(generator: ResnetGenerator, ref_features: list[Tensor]) -> list[Tensor]:
    """G_enc(G(y))."""
    found: list[Tensor] = generator.encode(generator.decode(ref_features))
    return found


# FastCUT translates half of the pictures mirrored and mirrors their features back (appendix C): phases that say
# `where: {x_fake: x_turned, fake_features: turned_features}`.


def turned(normal: Callable[..., Tensor]) -> Tensor:
    """Which pictures are mirrored, (N, 1, 1, 1): a coin for each."""
    return normal(1, 1, 1) > 0


def x_turned(generator: nn.Module, x_real: Tensor, turned: Tensor) -> Tensor:
    """G(x or mirrored x)."""
    x: Tensor = generator(_mirror(x_real, turned))
    return x


def turned_features(generator: ResnetGenerator, x_turned: Tensor, turned: Tensor) -> list[Tensor]:
    """G_enc of `x_turned`, as if x had not been mirrored."""
    return [_mirror(found, turned) for found in generator.encode(x_turned)]


def _mirror(x: Tensor, which: Tensor) -> Tensor:
    """x (N, C, H, W) with the pictures mirrored that `which` (N, 1, 1, 1) says."""
    return torch.where(which, x.flip(3), x)


# What the discriminator says (equation 1).


def real_logits(discriminator: nn.Module, x_ref: Tensor) -> Tensor:
    """D(y)."""
    logits: Tensor = discriminator(x_ref)
    return logits


def fake_logits(discriminator: nn.Module, x_fake: Tensor) -> Tensor:
    """D(ŷ)."""
    logits: Tensor = discriminator(x_fake)
    return logits
