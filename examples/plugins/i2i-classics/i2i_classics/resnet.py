"""The generator of CycleGAN and CUT: after Johnson et al. 2016 (CycleGAN, appendix 7.2)."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn

from .layers import init_normal


class ResnetGenerator(nn.Module):
    """Translate x (N, 3, H, W) in [-1, 1] into a picture of the same shape and range.

    c7s1-64, d128, d256, `blocks` residual blocks, u128, u64, c7s1-3: convolutions with reflection padding, instance
    norm and ReLU, tanh at the end. `width` is the 64. With 64 and 9 blocks 11.378 M parameters.

    `encode(x)` is the list of activations of the first half, of which CUT compares some: the picture (0), then of
    c7s1-64, d128 and d256 the convolution (1, 3, 5) and what norm and ReLU make of it (2, 4, 6), then the residual
    blocks up to the middle one (7, 8, ...). `decode(features)` makes the picture of the last of them.

    ValueError: a side that is no multiple of 4, or less than 8.
    """

    def __init__(self, *, image_size: tuple[int, int], width: PositiveInt = 64, blocks: PositiveInt = 9) -> None:
        super().__init__()
        if image_size[0] % 4 or image_size[1] % 4 or min(image_size) < 8:
            raise ValueError(f"image_size {image_size[0]} x {image_size[1]}: the sides must be multiples of 4, from 8")
        deep, half = 4 * width, (blocks + 1) // 2
        self.encoder = nn.ModuleList(
            [
                nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect"),
                normalized(width),
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
                normalized(2 * width),
                nn.Conv2d(2 * width, deep, 3, stride=2, padding=1),
                normalized(deep),
                *(ResidualBlock(deep) for _ in range(half)),
            ]
        )
        self.decoder = nn.Sequential(
            *(ResidualBlock(deep) for _ in range(blocks - half)),
            nn.ConvTranspose2d(deep, 2 * width, 3, stride=2, padding=1, output_padding=1),
            normalized(2 * width),
            nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1),
            normalized(width),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )
        self.apply(init_normal)

    def encode(self, x: Tensor) -> list[Tensor]:
        """x and the activations of the first half, each (N, C_l, H_l, W_l)."""
        features = [x]
        for layer in self.encoder:
            features.append(layer(features[-1]))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """The picture (N, 3, H, W) in [-1, 1] of what `encode` gave."""
        x: Tensor = self.decoder(features[-1])
        return x

    def forward(self, x: Tensor) -> Tensor:
        """G(x)."""
        return self.decode(self.encode(x))


def normalized(channels: int) -> nn.Sequential:
    """Instance norm and ReLU."""
    return nn.Sequential(nn.InstanceNorm2d(channels), nn.ReLU())


class ResidualBlock(nn.Module):
    """x + two 3 x 3 convolutions of it, (N, channels, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            normalized(channels),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.layers(x)
        return made
