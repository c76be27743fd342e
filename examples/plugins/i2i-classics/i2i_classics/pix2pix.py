"""pix2pix as named tensors (Isola et al. 2017, section 3).

x_real is the source x, x_pair its true translation y, so the data set must be paired. Pictures have the shape
(N, 3, H, W) and values in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .unet import UNet


def z(normal: Callable[..., Tensor], generator: UNet) -> Tensor:
    """Noise z of the generator's dropout, (N, noise_size)."""
    return normal(generator.noise_size)


def x_fake(generator: nn.Module, x_real: Tensor, z: Tensor) -> Tensor:
    """G(x, z)."""
    x: Tensor = generator(x_real, z)
    return x


def real_logits(discriminator: nn.Module, x_real: Tensor, x_pair: Tensor) -> Tensor:
    """D(x, y), conditioned on the source x."""
    logits: Tensor = discriminator(torch.cat([x_real, x_pair], dim=1))
    return logits


def fake_logits(discriminator: nn.Module, x_real: Tensor, x_fake: Tensor) -> Tensor:
    """D(x, G(x, z)), conditioned on the source x."""
    logits: Tensor = discriminator(torch.cat([x_real, x_fake], dim=1))
    return logits
