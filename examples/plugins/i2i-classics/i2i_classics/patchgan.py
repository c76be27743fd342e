"""The discriminator that judges patches (pix2pix, section 3.2.2; CycleGAN, appendix 7.2)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, Norm, init_normal, norm_layer

Levels = Annotated[int, Field(ge=1, le=6)]


class PatchGAN(nn.Module):
    """Logits (N, 1, h, w) of the overlapping patches of x (N, `in_channels`, H, W).

    C64-C128-C256-C512 and a convolution to one channel: 4 x 4, the first `levels` of stride 2, leaky ReLU, norm after
    all but the first and last. `width` is the 64. With 3 levels a logit sees 70 x 70 pixels, and there are 2.765 M
    parameters; with 2 levels 34 x 34, with 1 level 16 x 16. A condition is concatenated to x, so pix2pix has 6
    `in_channels`.

    ValueError: pictures so small that no logit is left, or of other channels than `in_channels`.
    """

    outputs = 1

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        in_channels: PositiveInt = 3,
        width: PositiveInt = 64,
        levels: Levels = 3,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        if min(image_size) // 2**levels < 3:
            raise ValueError(
                f"image_size {image_size[0]} x {image_size[1]} leaves no patch after {levels} levels; set levels"
            )
        self.in_channels = in_channels
        dims = [width * min(2**level, 8) for level in range(levels + 1)]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        for level in range(1, levels + 1):
            layers += normalized_conv(dims[level - 1], dims[level], stride=2 if level < levels else 1, kind=norm)
        self.layers = nn.Sequential(*layers, nn.Conv2d(dims[-1], self.outputs, 4, padding=1))
        self.apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        """D(x)."""
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"the discriminator takes {self.in_channels} channels and is given {x.shape[1]}; set its in_channels"
            )
        logits: Tensor = self.layers(x)
        return logits


def normalized_conv(before: int, after: int, stride: int, kind: Norm) -> list[nn.Module]:
    """Convolution, norm, leaky ReLU; a batch norm brings the bias."""
    conv = nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=kind == "instance")
    return [conv, norm_layer(kind, after), nn.LeakyReLU(SLOPE)]


class DomainPatchGAN(PatchGAN):
    """A PatchGAN with logits of its own for each domain, for StarGAN v2: D(x, y) is (N, 1, h, w).

    in_channels, width, levels and norm are as in classics/patchgan.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        num_domains: int,
        in_channels: PositiveInt = 3,
        width: PositiveInt = 64,
        levels: Levels = 3,
        norm: Norm = "instance",
    ) -> None:
        self.outputs = num_domains
        super().__init__(image_size=image_size, in_channels=in_channels, width=width, levels=levels, norm=norm)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """D(x, y); y (N,) are the domains."""
        logits = super().forward(x)
        return logits[torch.arange(len(y), device=y.device), y].unsqueeze(1)
