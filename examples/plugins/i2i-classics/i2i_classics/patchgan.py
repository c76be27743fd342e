"""PatchGAN discriminators (pix2pix, section 3.2.2; CycleGAN, appendix 7.2)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, Norm, init_normal, norm_layer

Levels = Annotated[int, Field(ge=1, le=6)]


class PatchGAN(nn.Module):
    """PatchGAN discriminator: classifies overlapping patches as real or fake (pix2pix, section 3.2.2).

    Input: x (N, `in_channels`, H, W) in [-1, 1]. Output: logits (N, 1, h, w), one for each patch.

    The layers are C64-C128-C256-C512 and a convolution to one channel: 4 x 4 convolutions with leaky ReLU, and a norm
    in all but the first and last.

    in_channels: channels of x. pix2pix concatenates source and target, so it has 6.
    width: channels of the first layer; they double with each layer, up to 8 times `width`.
    levels: number of convolutions with stride 2. The receptive field of a logit is 70 x 70 pixels with 3 levels
        (2.765 M parameters), 34 x 34 with 2 and 16 x 16 with 1.
    norm: instance or batch.

    Raises ValueError if pictures are too small to leave a logit, or do not have `in_channels` channels.
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
                f"image_size {image_size[0]} x {image_size[1]} leaves no patch after {levels} levels; reduce levels"
            )
        self.in_channels = in_channels
        dims = [width * min(2**level, 8) for level in range(levels + 1)]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        for level in range(1, levels + 1):
            layers += normalized_conv(dims[level - 1], dims[level], stride=2 if level < levels else 1, kind=norm)
        self.layers = nn.Sequential(*layers, nn.Conv2d(dims[-1], self.outputs, 4, padding=1))
        self.apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits D(x), (N, 1, h, w)."""
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"the discriminator takes {self.in_channels} channels, but its input has {x.shape[1]}; "
                f"set its in_channels to {x.shape[1]}"
            )
        logits: Tensor = self.layers(x)
        return logits


def normalized_conv(before: int, after: int, stride: int, kind: Norm) -> list[nn.Module]:
    """Create a convolution, a norm and a leaky ReLU; with batch norm the convolution has no bias."""
    conv = nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=kind == "instance")
    return [conv, norm_layer(kind, after), nn.LeakyReLU(SLOPE)]


class DomainPatchGAN(PatchGAN):
    """PatchGAN discriminator with one output for each domain, for StarGAN v2.

    Input: x (N, `in_channels`, H, W) and domains y (N,). Output: logits D(x, y), (N, 1, h, w).

    in_channels, width, levels, norm: as in classics/patchgan.
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
        """Return the logits D(x, y), (N, 1, h, w), for domains y (N,)."""
        logits = super().forward(x)
        return logits[torch.arange(len(y), device=y.device), y].unsqueeze(1)
