"""CUT and FastCUT as named tensors (Park et al. 2020, section 3).

x_real is a picture x of the source domain X, x_ref a picture y of the target domain Y. The recipe names the domains:
`data.targets: {X: Y}`. The generator is G(x) = G_dec(G_enc(x)). Pictures have the shape (N, 3, H, W) and values in
[-1, 1]. Features are lists with one feature map (N, C_l, H_l, W_l) for each layer l of G_enc.
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


# Identity loss: pictures of the target domain should keep their patches (section 3, PatchNCE on Y).


def ref_features(generator: ResnetGenerator, x_ref: Tensor) -> list[Tensor]:
    """G_enc(y)."""
    found: list[Tensor] = generator.encode(x_ref)
    return found


def same_features(generator: ResnetGenerator, ref_features: list[Tensor]) -> list[Tensor]:
    """G_enc(G(y))."""
    found: list[Tensor] = generator.encode(generator.decode(ref_features))
    return found


# FastCUT mirrors half of the pictures before translation and mirrors their features back (appendix C). Its phases have
# the aliases `where: {x_fake: x_turned, fake_features: turned_features}`.


def turned(normal: Callable[..., Tensor]) -> Tensor:
    """Mask of the mirrored pictures, bool (N, 1, 1, 1), each with probability 1/2."""
    return normal(1, 1, 1) > 0


def x_turned(generator: nn.Module, x_real: Tensor, turned: Tensor) -> Tensor:
    """G(x), with x mirrored where `turned` is true."""
    x: Tensor = generator(_mirror(x_real, turned))
    return x


def turned_features(generator: ResnetGenerator, x_turned: Tensor, turned: Tensor) -> list[Tensor]:
    """G_enc(x_turned), with the feature maps of mirrored pictures mirrored back."""
    return [_mirror(found, turned) for found in generator.encode(x_turned)]


def _mirror(x: Tensor, which: Tensor) -> Tensor:
    """Mirror the pictures of x (N, C, H, W) where `which` (N, 1, 1, 1) is true."""
    return torch.where(which, x.flip(3), x)


# Logits of the discriminator D (equation 1).


def real_logits(discriminator: nn.Module, x_ref: Tensor) -> Tensor:
    """D(y)."""
    logits: Tensor = discriminator(x_ref)
    return logits


def fake_logits(discriminator: nn.Module, x_fake: Tensor) -> Tensor:
    """D(ŷ)."""
    logits: Tensor = discriminator(x_fake)
    return logits
