"""The multi-scale patch discriminator (Wang et al. 2018, section 3.2; Park et al. 2019, appendix A)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, checked, conv, normalised

Levels = Annotated[int, Field(ge=1, le=6)]


class Judgement(NamedTuple):
    """Judgement of a batch by a discriminator."""

    logits: list[Tensor]
    """A tensor of logits for each scale, (N, 1, h, w)."""
    features: list[list[Tensor]]
    """The outputs of all layers but the last for each scale, (N, C_l, H_l, W_l)."""


class Discriminator(nn.Module):
    """Patch discriminators D_k of the label map and the picture, each at half the size of the one before.

    Input: label map, perhaps edges, and picture as channels (N, C, H, W). Output: a Judgement.

    Each is C64-C128-C256-C512 and a convolution to one logit for each patch: 4 x 4 convolutions with spectral norm,
    stride 2 except in the last two, and instance norm in all but the first and last (Wang et al. 2018, section 3.2).

    target_size, target_channels: size (H, W) and channels of pictures. source_channels: number of classes.
    edges: whether the label map has a further channel of edges.
    width: channels of the first layer; they double with each layer, up to 8 times `width`.
    levels: number of convolutions with stride 2 in each discriminator.
    scales: number of discriminators.

    Raises ValueError if pictures are too small for the last discriminator.
    """

    def __init__(
        self,
        *,
        target_size: tuple[int, int],
        source_channels: int,
        target_channels: int,
        edges: bool = False,
        width: PositiveInt = 64,
        levels: Levels = 3,
        scales: PositiveInt = 2,
    ) -> None:
        super().__init__()
        if min(target_size) >> (levels + scales - 1) < 2:
            raise ValueError(
                f"pictures of {target_size[0]} x {target_size[1]} leave no patch after {levels} levels at scale "
                f"{scales}; reduce levels or scales"
            )
        self.channels = source_channels + edges + target_channels
        self.scales = nn.ModuleList(_patch_discriminator(self.channels, width, levels) for _ in range(scales))

    def forward(self, x: Tensor) -> Judgement:
        """Return the logits and the features of all scales."""
        checked(x, self.channels, "discriminator")
        judged = Judgement([], [])
        for number, layers in enumerate(self.scales):
            if number:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            features, made = list[Tensor](), x
            for layer in layers:  # type: ignore[attr-defined]
                made = layer(made)
                features.append(made)
            judged.logits.append(features.pop())
            judged.features.append(features)
        return judged


def _patch_discriminator(channels: int, width: int, levels: int) -> nn.ModuleList:
    dims = [width * min(2**level, 8) for level in range(levels + 1)]
    layers = [nn.Sequential(normalised(_conv(channels, width, 2)), nn.LeakyReLU(SLOPE))]
    for level in range(1, levels + 1):
        made = normalised(_conv(dims[level - 1], dims[level], 2 if level < levels else 1))
        layers.append(nn.Sequential(made, nn.InstanceNorm2d(dims[level]), nn.LeakyReLU(SLOPE)))
    return nn.ModuleList([*layers, normalised(_conv(dims[-1], 1, 1))])


def _conv(before: int, after: int, stride: int) -> nn.Conv2d:
    return conv(before, after, kernel=4, stride=stride)
