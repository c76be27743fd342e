"""The discriminator: that of SRGAN, with the architecture of VGG (Ledig et al. 2017, figure 4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .generator import SLOPE

Norm = Literal["batch", "none"]
Levels = Annotated[int, Field(ge=1, le=8)]


class VGGDiscriminator(nn.Module):
    """Discriminator C of ESRGAN, whose logits the relativistic loss compares (Wang et al. 2018, section 3.2).

    Input: x (N, C', H, W) in [-1, 1]. Output: logits (N, 1).

    Each level has a convolution, and one of stride 2. Two linear layers follow.

    target_size: height and width (H, W) of large pictures. target_channels: their channels C'.
    width: channels of the first level; they double with each level, up to 8 times `width`.
    levels: number of times that height and width are halved.
    hidden: size of the first linear layer's result.
    norm: batch norm after all convolutions but the first, with the statistics of the current batch; or none.

    Raises ValueError if a side is not a multiple of 2^levels.
    """

    def __init__(
        self,
        *,
        target_size: tuple[int, int],
        target_channels: int,
        width: PositiveInt = 64,
        levels: Levels = 4,
        hidden: PositiveInt = 1024,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        height, across = (side // 2**levels for side in target_size)
        if (height * 2**levels, across * 2**levels) != target_size:
            raise ValueError(
                f"pictures of {target_size[0]} x {target_size[1]} cannot be halved {levels} times; reduce levels"
            )
        layers, before = list[nn.Module](), target_channels
        for level in range(levels):
            after = width * min(2**level, 8)
            layers += [*_conv(before, after, 1, norm if level else "none"), *_conv(after, after, 2, norm)]
            before = after
        linear = nn.Linear(before * height * across, hidden)
        self.layers = nn.Sequential(*layers, nn.Flatten(), linear, nn.LeakyReLU(SLOPE), nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits C(x), (N, 1)."""
        logits: Tensor = self.layers(x)
        return logits


def _conv(before: int, after: int, stride: int, norm: Norm) -> list[nn.Module]:
    """Create a 3 x 3 convolution, a norm and a leaky ReLU."""
    norms = [nn.BatchNorm2d(after, track_running_stats=False)] if norm == "batch" else []
    return [nn.Conv2d(before, after, 3, stride, padding=1), *norms, nn.LeakyReLU(SLOPE)]
