"""The generator: a U-Net whose last layer reads the source's own pixel (after Isola et al. 2017, section 3.2.1)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, Norm, init_normal, norm_layer

Levels = Annotated[int, Field(ge=1, le=10)]


class UNet(nn.Module):
    """U-Net generator G between rasters of any numbers of channels, accurate per pixel (section 3.2.1).

    Input: x (N, C, H, W) in [-1, 1]. Output: G(x), (N, C', H, W) in [-1, 1].

    4 x 4 convolutions of stride 2 lead down, transposed ones lead up; feature maps of equal size are concatenated. Two
    1 x 1 convolutions map the features and the source's channels of each pixel to its C' values, without a norm: a
    measured value reaches the result whatever the rest of the picture is.

    source_size: height and width of x. source_channels, target_channels: channels C of x and C' of G(x).
    width: channels of the first layer; they double with each layer, up to 8 times `width`.
    levels: number of convolutions of stride 2.
    norm: batch, with the statistics of the current batch; instance; or none.

    Raises ValueError if a side is not a multiple of 2^levels.
    """

    def __init__(
        self,
        *,
        source_size: tuple[int, int],
        source_channels: int,
        target_channels: int,
        width: PositiveInt = 64,
        levels: Levels = 8,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if source_size[0] % 2**levels or source_size[1] % 2**levels:
            raise ValueError(
                f"rasters of {source_size[0]} x {source_size[1]} cannot be halved {levels} times; reduce levels"
            )
        channels = [width * min(2**level, 8) for level in range(levels)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, after in enumerate(channels):
            before = channels[level - 1] if level else source_channels
            kind: Norm = norm if 0 < level < levels - 1 else "none"  # it would set maps of 1 x 1 pixel to zero
            self.down.append(nn.Sequential(nn.Conv2d(before, after, 4, 2, 1), norm_layer(kind, after)))
        for level in reversed(range(levels)):
            before = channels[level] * (1 if level == levels - 1 else 2)
            after = channels[max(level - 1, 0)]
            self.up.append(nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1), norm_layer(norm, after)))
        hidden = nn.Conv2d(width + source_channels, 2 * width, 1)
        self.pixel = nn.Sequential(hidden, nn.LeakyReLU(SLOPE), nn.Conv2d(2 * width, target_channels, 1))
        self.apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return G(x), (N, C', H, W)."""
        features, made = [x], x
        for number, layer in enumerate(self.down):
            made = layer(F.leaky_relu(made, SLOPE) if number else made)
            features.append(made)
        features.pop()
        for layer in self.up:
            made = torch.cat([layer(F.relu(made)), features.pop()], dim=1)
        values: Tensor = self.pixel(made)
        return values.tanh()
