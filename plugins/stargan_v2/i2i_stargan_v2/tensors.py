"""StarGAN v2 as named tensors (section 3): each function computes one tensor that losses and other tensors read.

A phase chooses the source of the target style s_trg with an alias: `where: {s_trg: s_latent}` or
`where: {s_trg: s_reference}`. Pictures x have the shape (N, 3, H, W) and values in [-1, 1], latents z (N, latent_dim),
style codes s (N, style_dim), domains y (N,) and logits (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from i2i_core import detached
from i2i_stargan_v2.r1 import logits_for_r1

if TYPE_CHECKING:
    from i2i_stargan_v2.networks import Content, Generator, MappingNetwork

Normal = Callable[..., Tensor]


# Style codes: s = F_y(z) from a latent, s = E_y(x) from a reference picture.


def z_trg(normal: Normal, mapping_network: MappingNetwork) -> Tensor:
    return normal(mapping_network.latent_dim)


def z_trg2(normal: Normal, mapping_network: MappingNetwork) -> Tensor:
    return normal(mapping_network.latent_dim)


def s_latent(mapping_network: nn.Module, z_trg: Tensor, y_trg: Tensor) -> Tensor:
    s: Tensor = mapping_network(z_trg, y_trg)
    return s


def s_latent2(mapping_network: nn.Module, z_trg2: Tensor, y_trg: Tensor) -> Tensor:
    s: Tensor = mapping_network(z_trg2, y_trg)
    return s


def s_reference(style_encoder: nn.Module, x_ref: Tensor, y_trg: Tensor) -> Tensor:
    s: Tensor = style_encoder(x_ref, y_trg)
    return s


def s_reference2(style_encoder: nn.Module, x_ref2: Tensor, y_trg: Tensor) -> Tensor:
    s: Tensor = style_encoder(x_ref2, y_trg)
    return s


def s_org(style_encoder: nn.Module, x_real: Tensor, y_org: Tensor) -> Tensor:
    s: Tensor = style_encoder(x_real, y_org)
    return s


# Masks for the generator's skip. A recipe replaces them under `tensors`.


def masks() -> None:
    return None


def fake_masks() -> None:
    return None


# Translations: x_fake = G(x, s), its style code E_y(x_fake), and the reconstruction x_rec = G(x_fake, E_y(x)).


def content(generator: Generator, x_real: Tensor) -> Content:
    found: Content = generator.encode(x_real)
    return found


def x_fake(generator: Generator, content: Content, s_trg: Tensor, masks: Any) -> Tensor:
    x: Tensor = generator.decode(content, s_trg, masks)
    return x


@detached
def x_fake2(generator: Generator, content: Content, s_trg2: Tensor, masks: Any) -> Tensor:
    x: Tensor = generator.decode(content, s_trg2, masks)
    return x


def s_pred(style_encoder: nn.Module, x_fake: Tensor, y_trg: Tensor) -> Tensor:
    s: Tensor = style_encoder(x_fake, y_trg)
    return s


def x_rec(generator: nn.Module, x_fake: Tensor, s_org: Tensor, fake_masks: Any) -> Tensor:
    x: Tensor = generator(x_fake, s_org, fake_masks)
    return x


# Logits D_y(x). R1 differentiates real_logits with respect to a leaf of its own, so x_real requires no gradient
# elsewhere. It does so in full precision, because bf16 changes R1's gradient by 9 %.


def x_real_leaf(x_real: Tensor) -> Tensor:
    return x_real.detach().requires_grad_()


def real_logits(discriminator: nn.Module, x_real_leaf: Tensor, y_org: Tensor) -> Tensor:
    with torch.autocast(x_real_leaf.device.type, enabled=False):
        return logits_for_r1(discriminator, x_real_leaf, y_org)


def fake_logits(discriminator: nn.Module, x_fake: Tensor, y_trg: Tensor) -> Tensor:
    logits: Tensor = discriminator(x_fake, y_trg)
    return logits
