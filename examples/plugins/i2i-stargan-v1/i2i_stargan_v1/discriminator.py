"""The discriminator, which judges patches and classifies attributes (appendix, table 5)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

SLOPE = 0.01
"""Negative slope of leaky ReLUs."""


class Discriminator(nn.Module):
    """Discriminator D of StarGAN: logits of patches, D_src, and of attributes, D_cls (Choi et al. 2018, table 5).

    Input: x (N, 3, H, W) in [-1, 1]. Output: D_src(x), (N, 1, h, w), and D_cls(x), (N, K).

    It has no norm layers: a gradient penalty needs a critic of single pictures.

    attributes: number K of attributes.
    width: channels of the first layer; they double with each level. The paper: 64.
    levels: number of convolutions with stride 2, which leave H / 2^levels patches. The paper: 6.

    Raises ValueError for sides that are no multiples of 2^levels.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        attributes: PositiveInt,
        width: PositiveInt = 64,
        levels: Annotated[int, Field(ge=1, le=8)] = 6,
    ) -> None:
        super().__init__()
        if any(side % 2**levels for side in image_size):
            raise ValueError(
                f"image_size {image_size[0]} x {image_size[1]}: both sides must be multiples of 2^{levels}; "
                f"reduce levels"
            )
        channels = [3, *(width * 2**level for level in range(levels))]
        layers: list[nn.Module] = []
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.src = nn.Conv2d(channels[-1], 1, 3, padding=1, bias=False)
        patches = (image_size[0] // 2**levels, image_size[1] // 2**levels)
        self.cls = nn.Conv2d(channels[-1], attributes, patches, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return D_src(x), (N, 1, h, w), and the logits of attributes D_cls(x), (N, K)."""
        features = self.layers(x)
        return self.src(features), self.cls(features).flatten(1)
