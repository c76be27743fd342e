"""pix2pix without noise as named tensors (Isola et al. 2017, section 3), for any numbers of channels.

x_real is the source x, (N, C, H, W), and x_pair its true translation y, (N, C', H, W), so the data set must be paired.
Values are in [-1, 1], as the formats of the domains encode them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def x_fake(generator: nn.Module, x_real: Tensor) -> Tensor:
    """G(x), (N, C', H, W)."""
    x: Tensor = generator(x_real)
    return x


def real_logits(discriminator: nn.Module, x_real: Tensor, x_pair: Tensor) -> Tensor:
    """D(x, y), conditioned on the source x."""
    logits: Tensor = discriminator(torch.cat([x_real, x_pair], dim=1))
    return logits


def fake_logits(discriminator: nn.Module, x_real: Tensor, x_fake: Tensor) -> Tensor:
    """D(x, G(x)), conditioned on the source x."""
    logits: Tensor = discriminator(torch.cat([x_real, x_fake], dim=1))
    return logits
