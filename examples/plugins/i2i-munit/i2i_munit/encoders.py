"""The content encoder and the style encoder of a domain (section 5.1 and appendix B.2)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import ResidualBlock, conv, init_kaiming

Levels = Annotated[int, Field(ge=1, le=6)]


class ContentEncoder(nn.Module):
    """Content encoder E^c: a picture without its style, as a map (Huang et al. 2018, appendix B.2).

    Input: x (N, `channels`, H, W) in [-1, 1]. Output: the content c, (N, 4 `width`, H/4, W/4).

    The layers are c7s1-64, d128, d256 and residual blocks R256: convolutions with reflection padding, instance norm and
    ReLU.

    channels: channels of pictures of the domain.
    width: channels of the first layer, the 64 above. blocks: number of residual blocks.

    Raises ValueError if a side is below 16 or not a multiple of 4.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        channels: PositiveInt = 3,
        width: PositiveInt = 64,
        blocks: PositiveInt = 4,
    ) -> None:
        super().__init__()
        height, breadth = image_size
        if height % 4 or breadth % 4 or min(image_size) < 16:
            raise ValueError(f"image_size {height} x {breadth}: both sides must be multiples of 4 and at least 16")
        self.layers = nn.Sequential(
            *normalized(channels, width, 7, 1),
            *normalized(width, 2 * width, 4, 2),
            *normalized(2 * width, 4 * width, 4, 2),
            *(ResidualBlock(4 * width) for _ in range(blocks)),
        )
        self.apply(init_kaiming)

    def forward(self, x: Tensor) -> Tensor:
        """Return the content c, (N, 4 `width`, H/4, W/4)."""
        c: Tensor = self.layers(x)
        return c


def normalized(before: int, after: int, kernel: int, stride: int) -> list[nn.Module]:
    """Create a convolution, an instance norm and a ReLU."""
    return [conv(before, after, kernel, stride), nn.InstanceNorm2d(after), nn.ReLU()]


class StyleEncoder(nn.Module):
    """Style encoder E^s: the style of a picture, as a vector (Huang et al. 2018, appendix B.2).

    Input: x (N, `channels`, H, W) in [-1, 1]. Output: the style s, (N, `style_dim`).

    The layers are c7s1-64, d128, d256, d256, d256, a global average and a linear layer. Nothing is normalised: instance
    norm would remove the means and variances that are the style (section 5.1).

    channels: channels of pictures of the domain.
    width: channels of the first layer, the 64 above. levels: number of convolutions with stride 2.
    style_dim: dimension of s, the same as the decoder's.

    Raises ValueError if pictures are too small for `levels`.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        channels: PositiveInt = 3,
        width: PositiveInt = 64,
        levels: Levels = 4,
        style_dim: PositiveInt = 8,
    ) -> None:
        super().__init__()
        if min(image_size) // 2**levels < 2:
            raise ValueError(
                f"image_size {image_size[0]} x {image_size[1]} is too small for {levels} levels; reduce levels"
            )
        layers: list[nn.Module] = [conv(channels, width, 7), nn.ReLU()]
        for level in range(levels):
            before, after = (width * min(2**n, 4) for n in (level, level + 1))
            layers += [conv(before, after, 4, 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(width * min(2**levels, 4), style_dim)
        self.apply(init_kaiming)

    def forward(self, x: Tensor) -> Tensor:
        """Return the style s, (N, `style_dim`)."""
        s: Tensor = self.out(self.layers(x).mean((2, 3)))
        return s
