"""The ResNet generator of CycleGAN and CUT, after Johnson et al. 2016 (CycleGAN, appendix 7.2)."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn

from .layers import init_normal


class ResnetGenerator(nn.Module):
    """ResNet generator G of CycleGAN and CUT (CycleGAN, appendix 7.2).

    Input: x (N, C, H, W) in [-1, 1]. Output: G(x), (N, C', H, W) in [-1, 1].

    The layers are c7s1-64, d128, d256, residual blocks, u128, u64, c7s1-3: convolutions with reflection padding,
    instance norm and ReLU, with tanh at the end. The default has 11.378 M parameters.

    width: channels of the first layer, the 64 above.
    blocks: number of residual blocks.
    source_channels, target_channels: channels C of x and C' of G(x).

    `encode(x)` returns the activations of the first half as a list; CUT compares some of them. Entry 0 is the picture.
    Entries 1, 3 and 5 are the convolutions of c7s1-64, d128 and d256; entries 2, 4 and 6 follow their norm and ReLU.
    Entries 7, 8, ... are the residual blocks up to the middle one. `decode(features)` makes G(x) from the last entry.

    Raises ValueError if a side is below 8 or not a multiple of 4.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        width: PositiveInt = 64,
        blocks: PositiveInt = 9,
        source_channels: PositiveInt = 3,
        target_channels: PositiveInt = 3,
    ) -> None:
        super().__init__()
        if image_size[0] % 4 or image_size[1] % 4 or min(image_size) < 8:
            raise ValueError(
                f"image_size {image_size[0]} x {image_size[1]}: both sides must be multiples of 4 and at least 8"
            )
        deep, half = 4 * width, (blocks + 1) // 2
        self.encoder = nn.ModuleList(
            [
                nn.Conv2d(source_channels, width, 7, padding=3, padding_mode="reflect"),
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
            nn.Conv2d(width, target_channels, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )
        self.apply(init_normal)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return x and the activations of the first half, each (N, C_l, H_l, W_l)."""
        features = [x]
        for layer in self.encoder:
            features.append(layer(features[-1]))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return the picture (N, C', H, W) in [-1, 1] for the output of `encode`."""
        x: Tensor = self.decoder(features[-1])
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return G(x), (N, C', H, W)."""
        return self.decode(self.encode(x))


def normalized(channels: int) -> nn.Sequential:
    """Create an instance norm and a ReLU."""
    return nn.Sequential(nn.InstanceNorm2d(channels), nn.ReLU())


class ResidualBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions, (N, channels, H, W) to the same shape."""

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
