"""The image encoder (Park et al. 2019, appendix A)."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, conv, normalised

LAST = 4
"""Shorter side of the last features, in pixels."""


class Encoder(nn.Module):
    """Image encoder E of the style: maps a photo to a normal distribution q(z | x) (appendix A).

    Input: x (N, `target_channels`, H, W) in [-1, 1]. Output: mean μ and log variance log σ², (N, 2, `latent_dim`).

    3 x 3 convolutions of stride 2 with spectral norm, instance norm and leaky ReLU halve the photo until its shorter
    side has 4 pixels or less; two linear layers follow. The default has the paper's layers for 256 px: 64, 128, 256,
    512, 512, 512.

    target_size, target_channels: size (H, W) and channels of photos.
    width: channels of the first layer; they double with each layer, up to 8 times `width`.
    latent_dim: length of z, as that of the generator.

    Raises ValueError if a side has less than 8 pixels.
    """

    def __init__(
        self,
        *,
        target_size: tuple[int, int],
        target_channels: int,
        width: PositiveInt = 64,
        latent_dim: PositiveInt = 256,
    ) -> None:
        super().__init__()
        if min(target_size) < 2 * LAST:
            raise ValueError(f"pictures of {target_size[0]} x {target_size[1]} are too small; sides need 8 pixels")
        levels = math.ceil(math.log2(min(target_size) / LAST))
        channels = [target_channels, *(width * min(2**level, 8) for level in range(levels))]
        layers = list[nn.Module]()
        for before, after in zip(channels[:-1], channels[1:], strict=True):
            layers += [normalised(conv(before, after, stride=2)), nn.InstanceNorm2d(after), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        height, wide = (math.ceil(side / 2**levels) for side in target_size)
        self.heads = nn.ModuleList(nn.Linear(channels[-1] * height * wide, latent_dim) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return μ and log σ², (N, 2, latent_dim)."""
        features = self.layers(x).flatten(1)
        return torch.stack([head(features) for head in self.heads], dim=1)
