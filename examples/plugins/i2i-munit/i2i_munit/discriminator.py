"""The multi-scale discriminator of a domain (section 5.1 and appendix B.2)."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import conv, init_kaiming

Logits = list[Tensor]
"""Logits of patches, (N, 1, h, w) for each scale."""


class Discriminator(nn.Module):
    """Multi-scale discriminator D: classifies patches of a picture at several sizes (Huang et al. 2018, appendix B.2).

    Input: x (N, `channels`, H, W) in [-1, 1]. Output: a list of logits (N, 1, h, w), one for each scale. The first is
    for x itself; each further one is for the one before at half its size.

    The layers of a scale are d64, d128, d256, d512: 4 x 4 convolutions with stride 2 and leaky ReLU. A 1 x 1
    convolution to one channel follows.

    channels: channels of pictures of the domain.
    width: channels of the first layer; they double with each. levels: number of layers. scales: number of scales.

    Raises ValueError if pictures are too small for `levels` and `scales`.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        channels: PositiveInt = 3,
        width: PositiveInt = 64,
        levels: Annotated[int, Field(ge=1, le=6)] = 4,
        scales: Annotated[int, Field(ge=1, le=4)] = 3,
    ) -> None:
        super().__init__()
        if min(image_size) < 2 ** (levels + scales - 1):
            raise ValueError(
                f"image_size {image_size[0]} x {image_size[1]} leaves no patch after {levels} levels at {scales} "
                f"scales; reduce levels or scales"
            )
        self.scales = nn.ModuleList(patches(channels, width, levels) for _ in range(scales))
        self.apply(init_kaiming)

    def forward(self, x: Tensor) -> Logits:
        """Return the logits D(x), (N, 1, h, w) for each scale."""
        logits = []
        for n, scale in enumerate(self.scales):
            if n:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            logits.append(scale(x))
        return logits


def patches(channels: int, width: int, levels: int) -> nn.Sequential:
    """Create the layers of a scale."""
    layers: list[nn.Module] = []
    for level in range(levels):
        before = width * 2 ** (level - 1) if level else channels
        layers += [conv(before, width * 2**level, 4, 2), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(width * 2 ** (levels - 1), 1, 1))
