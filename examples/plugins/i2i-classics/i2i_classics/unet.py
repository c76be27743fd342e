"""The generator of pix2pix (Isola et al. 2017, section 6.1.1)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, Norm, init_normal, norm

Probability = Annotated[float, Field(ge=0, lt=1)]


class UNet(nn.Module):
    """Translate x (N, 3, H, W) in [-1, 1] into a picture of the same shape and range.

    `levels` 4 x 4 convolutions of stride 2 (C64-C128-C256-C512-...), as many back up, and between equal sizes a skip:
    what comes up is concatenated with what went down. `width` is the 64; channels double up to 8 times that. With 64
    and 8 levels, for 256 px, 54.41 M parameters.

    The first three layers after the narrowest drop values with probability `dropout`. This is the generator's only
    noise, so it is there at test time too.

    ValueError: a side that is no multiple of 2 ** `levels`, or less than 3 levels.
    """

    def __init__(self, *, image_size: tuple[int, int], levels: PositiveInt = 8, width: PositiveInt = 64,
                 dropout: Probability = 0.5, norm: Norm = "batch") -> None:
        super().__init__()
        if levels < 3:
            raise ValueError(f"levels should be 3 or more, not {levels}")
        if image_size[0] % 2**levels or image_size[1] % 2**levels:
            raise ValueError(f"image_size {image_size[0]} x {image_size[1]} cannot be halved {levels} times; "
                             f"set levels")
        channels = [width * min(2**level, 8) for level in range(levels)]
        self.down = nn.ModuleList([Down(3, width, None)])
        self.up = nn.ModuleList()
        for level in range(1, levels):
            last = level == levels - 1  # of 1 x 1 pixel a norm would leave nothing
            self.down.append(Down(channels[level - 1], channels[level], None if last else norm))
            self.up.insert(0, Up(channels[level] * (1 if last else 2), channels[level - 1], norm,
                                 dropout if level >= levels - 3 else 0.0))
        self.to_rgb = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1), nn.Tanh())
        self.apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        """G(x)."""
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = skips.pop()
        for up in self.up:
            x = torch.cat([up(x), skips.pop()], dim=1)
        x = self.to_rgb(x)
        return x


class Down(nn.Module):
    """Leaky ReLU (but on pictures), convolution, norm: to half the size."""

    def __init__(self, before: int, after: int, kind: Norm | None) -> None:
        super().__init__()
        self.first = before == 3
        self.conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
        self.norm = nn.Identity() if kind is None else norm(kind, after)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.norm(self.conv(x if self.first else F.leaky_relu(x, SLOPE)))
        return made


class Up(nn.Module):
    """ReLU, transposed convolution, norm, dropout: to twice the size."""

    def __init__(self, before: int, after: int, kind: Norm, dropout: float) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
        self.norm, self.dropout = norm(kind, after), dropout

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(F.relu(x)))
        return F.dropout(x, self.dropout) if self.dropout else x
