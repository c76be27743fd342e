"""The generator: residual-in-residual dense blocks, then upsampling (section 3.1, figures 3 and 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

SLOPE = 0.2
"""Negative slope of leaky ReLUs."""
BETA = 0.2
"""Residual scaling β."""
SMALL = 0.1
"""Factor of the initial weights of dense blocks (section 3.1, "smaller initialization")."""
CONVOLUTIONS = 5
"""Convolutions of a dense block."""


class DenseBlock(nn.Module):
    """Dense block: each convolution reads all feature maps before it; x + β f(x), (N, width, h, w)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        after = [growth] * (CONVOLUTIONS - 1) + [width]
        self.layers = nn.ModuleList(_conv(width + n * growth, channels, SMALL) for n, channels in enumerate(after))

    def forward(self, x: Tensor) -> Tensor:
        made, features = x, list[Tensor]()
        for number, layer in enumerate(self.layers):  # the last one has no activation
            features.append(F.leaky_relu(made, SLOPE) if number else x)
            made = layer(torch.cat(features, dim=1))
        return x + BETA * made


class RRDB(nn.Module):
    """Residual-in-residual dense block: x + β f(x), where f is a sequence of three dense blocks."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.dense(x)
        return x + BETA * residual


class RRDBNet(nn.Module):
    """Generator G of ESRGAN: enlarges pictures (Wang et al. 2018, section 3.1).

    Input: x (N, C, h, w) in [-1, 1]. Output: G(x), (N, C', H, W), unlimited; pictures are clipped to [-1, 1].

    `blocks` residual-in-residual dense blocks without batch norm extract features. Each upsampling doubles the height
    and width by repeating pixels, and a convolution follows. The network is convolutional: it takes any h and w.

    source_size, target_size: (h, w) and (H, W). They determine the number of upsamplings, 2 for the paper's factor 4.
    source_channels, target_channels: C and C'.
    width: channels of feature maps. growth: channels that each convolution of a dense block adds.

    Raises ValueError unless H / h and W / w are the same power of two, at least 2.
    """

    def __init__(
        self,
        *,
        source_size: tuple[int, int],
        target_size: tuple[int, int],
        source_channels: int,
        target_channels: int,
        width: PositiveInt = 64,
        growth: PositiveInt = 32,
        blocks: PositiveInt = 23,
    ) -> None:
        super().__init__()
        upsamplings = doublings(source_size, target_size)
        self.first = _conv(source_channels, width)
        self.blocks = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)))
        self.trunk = _conv(width, width)
        self.up = nn.ModuleList(_conv(width, width) for _ in range(upsamplings))
        self.last = nn.Sequential(_conv(width, width), nn.LeakyReLU(SLOPE), _conv(width, target_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return G(x), (N, C', H, W)."""
        first = self.first(x)
        features = first + self.trunk(self.blocks(first))
        for layer in self.up:
            features = F.leaky_relu(layer(F.interpolate(features, scale_factor=2.0, mode="nearest")), SLOPE)
        made: Tensor = self.last(features)
        return made


def doublings(source: tuple[int, int], target: tuple[int, int]) -> int:
    """Return how often a size has to be doubled to become another one. Raises ValueError if that is impossible."""
    factor = target[0] // source[0]
    if factor < 2 or factor & (factor - 1) or target != (factor * source[0], factor * source[1]):
        raise ValueError(
            f"pictures of {source[0]} x {source[1]} cannot be enlarged to {target[0]} x {target[1]} pixels: both sides "
            f"need the same factor 2, 4, 8, ...; change the sizes of the domains"
        )
    return factor.bit_length() - 1


def _conv(before: int, after: int, scale: float = 1.0) -> nn.Conv2d:
    """Create a convolution with weights that keep the scale of features (He et al. 2015), times `scale`."""
    conv = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    with torch.no_grad():
        conv.weight.mul_(scale)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
