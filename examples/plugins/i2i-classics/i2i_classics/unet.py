"""The U-Net generator of pix2pix (Isola et al. 2017, section 6.1.1)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, Norm, init_normal, norm_layer

Probability = Annotated[float, Field(ge=0, lt=1)]
DROPPING = 3
"""Number of layers with dropout."""


class UNet(nn.Module):
    """U-Net generator G of pix2pix, whose dropout is controlled by the noise z (section 6.1.1).

    Input: x (N, C, H, W) in [-1, 1] and z (N, `noise_size`) from N(0, I). Output: G(x, z), (N, C', H, W) in [-1, 1].

    The encoder has 4 x 4 convolutions of stride 2 (C64-C128-C256-C512-...), and the decoder has the same number of
    transposed convolutions. Skip connections concatenate the feature maps of equal size. The default, for 256 px, has
    54.41 M parameters.

    levels: number of convolutions of the encoder, at least 3.
    width: channels of the first layer; they double with each layer, up to 8 times `width`.
    dropout: probability of dropout in the first three layers of the decoder. A value is dropped if its element of z is
        below a threshold, at test time too. z has no other effect.
    norm: instance or batch. The batch norm has no running statistics.
    source_channels, target_channels: channels C of x and C' of G(x, z).

    Raises ValueError if a side is not a multiple of 2 ** `levels`, or `levels` is below 3.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        levels: PositiveInt = 8,
        width: PositiveInt = 64,
        dropout: Probability = 0.5,
        norm: Norm = "batch",
        source_channels: PositiveInt = 3,
        target_channels: PositiveInt = 3,
    ) -> None:
        super().__init__()
        if levels < 3:
            raise ValueError(f"levels must be 3 or more, not {levels}")
        if image_size[0] % 2**levels or image_size[1] % 2**levels:
            raise ValueError(
                f"image_size {image_size[0]} x {image_size[1]} cannot be halved {levels} times; reduce levels"
            )
        channels = [width * min(2**level, 8) for level in range(levels)]
        self.dropout, self.threshold = dropout, NormalDist().inv_cdf(dropout) if dropout else -math.inf
        self.noise_size = sum(
            channels[level - 1] * (image_size[0] >> level) * (image_size[1] >> level)
            for level in range(max(1, levels - DROPPING), levels)
        )
        self.down = nn.ModuleList([Down(source_channels, width, None, first=True)])
        self.up = nn.ModuleList()
        for level in range(1, levels):
            last = level == levels - 1  # no norm here: it would set maps of 1 x 1 pixel to zero
            self.down.append(Down(channels[level - 1], channels[level], None if last else norm))
            self.up.insert(0, Up(channels[level] * (1 if last else 2), channels[level - 1], norm))
        last_layer = nn.ConvTranspose2d(2 * width, target_channels, 4, stride=2, padding=1)
        self.to_rgb = nn.Sequential(nn.ReLU(), last_layer, nn.Tanh())
        self.apply(init_normal)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return G(x, z), (N, C', H, W)."""
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = skips.pop()
        for number, up in enumerate(self.up):
            x = up(x)
            if number < DROPPING:
                own, z = z.tensor_split([x[0].numel()], dim=1)
                x = x * (own.view_as(x) > self.threshold) / (1 - self.dropout)
            x = torch.cat([x, skips.pop()], dim=1)
        x = self.to_rgb(x)
        return x


class Down(nn.Module):
    """Encoder layer: leaky ReLU (except in the first layer), convolution of stride 2 and norm; halves H and W."""

    def __init__(self, before: int, after: int, kind: Norm | None, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
        self.norm = nn.Identity() if kind is None else norm_layer(kind, after)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.norm(self.conv(x if self.first else F.leaky_relu(x, SLOPE)))
        return made


class Up(nn.Module):
    """Decoder layer: ReLU, transposed convolution of stride 2 and norm; doubles H and W."""

    def __init__(self, before: int, after: int, kind: Norm) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
        self.norm = norm_layer(kind, after)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.norm(self.conv(F.relu(x)))
        return made
