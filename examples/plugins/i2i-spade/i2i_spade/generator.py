"""The SPADE generator (Park et al. 2019, section 3 and appendix A)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from .layers import SLOPE, checked, conv, normalised

Norm = Literal["batch", "instance"]
Levels = Annotated[int, Field(ge=1, le=8)]
MOST = 16
"""Channels of the widest block as a multiple of `width`."""


class Generator(nn.Module):
    """SPADE generator G: a latent that grows to a picture, modulated by the label map at each size (section 3).

    Input: segmentation (N, C, h, w), the label map and perhaps edges, and z (N, `latent_dim`). Output: G(m, z),
    (N, `target_channels`, H, W) in [-1, 1].

    A linear layer maps z to features of H / 2^levels x W / 2^levels pixels. SPADE residual blocks follow, with nearest
    upsampling by 2 between them. The default has the paper's blocks for 256 px: 1024, 1024, 1024, 512, 256, 128, 64.

    target_size, target_channels: size (H, W) and channels of photos. source_channels: number of classes.
    edges: whether the label map has a further channel of edges.
    width: channels of the last block; blocks before it have twice as many each, up to 16 times `width`.
    levels: number of upsamplings.
    latent_dim: length of z.
    hidden: channels of the convolution in SPADE between label map and modulation.
    norm: batch or instance, the normalisation without parameters in SPADE. batch uses the statistics of a process's
        part of the batch, and running ones after training.

    Raises ValueError if a side is not a multiple of 2^levels.
    """

    def __init__(
        self,
        *,
        target_size: tuple[int, int],
        source_channels: int,
        target_channels: int,
        edges: bool = False,
        width: PositiveInt = 64,
        levels: Levels = 6,
        latent_dim: PositiveInt = 256,
        hidden: PositiveInt = 128,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if target_size[0] % 2**levels or target_size[1] % 2**levels:
            raise ValueError(
                f"pictures of {target_size[0]} x {target_size[1]} cannot be halved {levels} times; reduce levels"
            )
        self.latent_dim, self.channels = latent_dim, source_channels + edges
        channels = [width * min(MOST, 2**level) for level in range(levels, -1, -1)]
        self.first = (channels[0], target_size[0] >> levels, target_size[1] >> levels)
        self.from_latent = nn.Linear(latent_dim, self.first[0] * self.first[1] * self.first[2])
        nn.init.xavier_uniform_(self.from_latent.weight)
        nn.init.zeros_(self.from_latent.bias)
        self.blocks = nn.ModuleList(
            SPADEResBlock(before, after, self.channels, hidden, norm)
            for before, after in zip([channels[0], *channels], channels, strict=False)
        )
        self.to_picture = conv(width, target_channels)

    def forward(self, segmentation: Tensor, z: Tensor) -> Tensor:
        """Return G(m, z), (N, C', H, W)."""
        checked(segmentation, self.channels, "generator")
        x: Tensor = self.from_latent(z).unflatten(1, self.first)
        for number, block in enumerate(self.blocks):
            if number:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x, segmentation)
        picture: Tensor = self.to_picture(F.leaky_relu(x, SLOPE))
        return picture.tanh()


class SPADE(nn.Module):
    """Spatially-adaptive denormalisation: (1 + γ(m)) · norm(x) + β(m) (equation 1).

    m is the label map at the size of x, γ and β are convolutions of a common hidden layer.
    """

    def __init__(self, channels: int, labels: int, hidden: int, norm: Norm) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False) if norm == "batch" else nn.InstanceNorm2d(channels)
        self.shared = nn.Sequential(conv(labels, hidden), nn.ReLU())
        self.gamma, self.beta = conv(hidden, channels), conv(hidden, channels)

    def forward(self, x: Tensor, segmentation: Tensor) -> Tensor:
        """x: (N, channels, H, W); segmentation: (N, labels, h, w). Returns the shape of x."""
        m = self.shared(F.interpolate(segmentation, x.shape[2:], mode="nearest"))
        made: Tensor = (1 + self.gamma(m)) * self.norm(x) + self.beta(m)
        return made


class SPADEResBlock(nn.Module):
    """SPADE residual block: twice SPADE, leaky ReLU and a 3 x 3 convolution (figure 4).

    If the numbers of channels differ, the skip connection is SPADE and a 1 x 1 convolution.
    """

    def __init__(self, before: int, after: int, labels: int, hidden: int, norm: Norm) -> None:
        super().__init__()
        middle = min(before, after)
        self.norms = nn.ModuleList(SPADE(channels, labels, hidden, norm) for channels in (before, middle))
        self.convs = nn.ModuleList([normalised(conv(before, middle)), normalised(conv(middle, after))])
        self.skip: nn.ModuleList | None = None
        if before != after:
            skip = normalised(conv(before, after, kernel=1, bias=False))
            self.skip = nn.ModuleList([SPADE(before, labels, hidden, norm), skip])

    def forward(self, x: Tensor, segmentation: Tensor) -> Tensor:
        """x: (N, before, H, W). Returns (N, after, H, W)."""
        made = x
        for norm, layer in zip(self.norms, self.convs, strict=True):
            made = layer(F.leaky_relu(norm(made, segmentation), SLOPE))
        if self.skip is not None:
            norm, layer = self.skip
            x = layer(norm(x, segmentation))
        return x + made
