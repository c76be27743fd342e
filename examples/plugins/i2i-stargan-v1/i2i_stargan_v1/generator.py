"""The generator (appendix, table 4)."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn


class Generator(nn.Module):
    """Generator G of StarGAN (Choi et al. 2018, table 4).

    Input: x (N, 3, H, W) in [-1, 1] and target attributes (N, K), which become K constant channels. Output: a picture
    (N, 3, H, W) in [-1, 1].

    attributes: number K of attributes.
    width: channels of the first layer; they double twice. The paper: 64.
    blocks: number of residual blocks at a quarter of the size. The paper: 6.

    Raises ValueError for sides that are no multiples of 4, and for another number of attributes than the data has.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        attributes: PositiveInt,
        width: PositiveInt = 64,
        blocks: NonNegativeInt = 6,
    ) -> None:
        super().__init__()
        if any(side % 4 for side in image_size):
            raise ValueError(f"image_size {image_size[0]} x {image_size[1]}: both sides must be multiples of 4")
        self.attributes = attributes
        half, middle = 2 * width, 4 * width
        layers = _normalised(nn.Conv2d(3 + attributes, width, 7, padding=3, bias=False), width)
        layers += _normalised(nn.Conv2d(width, half, 4, stride=2, padding=1, bias=False), half)
        layers += _normalised(nn.Conv2d(half, middle, 4, stride=2, padding=1, bias=False), middle)
        layers += [ResidualBlock(middle) for _ in range(blocks)]
        layers += _normalised(nn.ConvTranspose2d(middle, half, 4, stride=2, padding=1, bias=False), half)
        layers += _normalised(nn.ConvTranspose2d(half, width, 4, stride=2, padding=1, bias=False), width)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh())

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """Return G(x, c), (N, 3, H, W), for attributes c (N, K)."""
        if given.shape[1] != self.attributes:
            raise ValueError(
                f"the generator takes {self.attributes} attributes, and the data has {given.shape[1]}; "
                f"set its attributes to {given.shape[1]}"
            )
        channels = given[:, :, None, None].expand(-1, -1, *x.shape[2:])
        made: Tensor = self.layers(torch.cat([x, channels.to(x.dtype)], dim=1))
        return made


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with instance norms, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.layers = nn.Sequential(*_normalised(first, channels), second, nn.InstanceNorm2d(channels, affine=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of x."""
        features: Tensor = x + self.layers(x)
        return features


def _normalised(layer: nn.Module, channels: int) -> list[nn.Module]:
    """Add an instance norm and a ReLU to a layer, which has no bias, as the norm would cancel it."""
    return [layer, nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]
