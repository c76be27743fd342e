"""The PatchGAN discriminator (Isola et al. 2017, section 3.2.2)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, Norm, init_normal, norm_layer

Levels = Annotated[int, Field(ge=1, le=6)]


class PatchGAN(nn.Module):
    """PatchGAN discriminator of source and target: real or fake, for overlapping patches (section 3.2.2).

    Input: source and target as channels, (N, C + C', H, W) in [-1, 1]. Output: logits (N, 1, h, w).

    source_size: height and width of the source, which are also those of the target.
    source_channels, target_channels: C and C'.
    width: channels of the first layer; they double with each layer, up to 8 times `width`.
    levels: number of convolutions with stride 2. A logit sees 70 x 70 pixels with 3 levels, 34 x 34 with 2.
    norm: batch, with the statistics of the current batch; instance; or none.

    Raises ValueError if the rasters are too small to leave a patch.
    """

    def __init__(
        self,
        *,
        source_size: tuple[int, int],
        source_channels: int,
        target_channels: int,
        width: PositiveInt = 64,
        levels: Levels = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if min(source_size) // 2**levels < 3:
            raise ValueError(
                f"rasters of {source_size[0]} x {source_size[1]} leave no patch after {levels} levels; reduce levels"
            )
        dims = [width * min(2**level, 8) for level in range(levels + 1)]
        layers: list[nn.Module] = [nn.Conv2d(source_channels + target_channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for level in range(1, levels + 1):
            conv = nn.Conv2d(dims[level - 1], dims[level], 4, 2 if level < levels else 1, 1)
            layers += [conv, norm_layer(norm, dims[level]), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(dims[-1], 1, 4, padding=1))
        self.apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits D(x, y), (N, 1, h, w)."""
        logits: Tensor = self.layers(x)
        return logits
