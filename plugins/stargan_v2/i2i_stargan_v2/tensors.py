"""StarGAN v2 as named tensors (section 3): what each is made of; losses, in the recipe, ask for them.

A phase says where its style comes from: `where: {s_trg: s_latent}` or `where: {s_trg: s_reference}`.
Pictures are (N, 3, H, W) in [-1, 1], style codes s (N, style_dim), domains y (N,), logits (N,).
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


# Styles: from latents by the mapping network F, from references by the style encoder E.


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


# Masks for the generator's skip: none, until a recipe's `tensors` puts something here.


def masks() -> None:
    return None


def fake_masks() -> None:
    return None


# Translations: G is an encoder of content and a decoder with a style.


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


# What the discriminator D says. R1 differentiates real_logits at a leaf of its own, so that x_real stays as
# it is in every other tensor; and in full precision, since bf16 puts R1's gradient off by 9 %.


def x_real_leaf(x_real: Tensor) -> Tensor:
    return x_real.detach().requires_grad_()


def real_logits(discriminator: nn.Module, x_real_leaf: Tensor, y_org: Tensor) -> Tensor:
    with torch.autocast(x_real_leaf.device.type, enabled=False):
        return logits_for_r1(discriminator, x_real_leaf, y_org)


def fake_logits(discriminator: nn.Module, x_fake: Tensor, y_trg: Tensor) -> Tensor:
    logits: Tensor = discriminator(x_fake, y_trg)
    return logits
