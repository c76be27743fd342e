"""The four networks of StarGAN v2, directly from their definition.

Pictures x have the shape (N, 3, H, W) and values in [-1, 1], domains y (N,), latents z (N, 16), style codes s (N, 64).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STYLE_DIM, LATENT_DIM, HIDDEN_DIM = 64, 16, 512
SKIP_SIZES = (32, 64, 128)
"""Heights of the feature maps at which the skip acts, in a generator with masks."""
Masks = tuple[Tensor, Tensor]


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class ResBlk(nn.Module):
    """Residual block; `down` halves the size between its convolutions."""

    def __init__(self, dim_in: int, dim_out: int, *, norm: bool = False, down: bool = False) -> None:
        super().__init__()
        self.down = down
        self.norm1 = nn.InstanceNorm2d(dim_in, affine=True) if norm else nn.Identity()
        self.conv1 = nn.Conv2d(dim_in, dim_in, 3, padding=1)
        self.norm2 = nn.InstanceNorm2d(dim_in, affine=True) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(dim_in, dim_out, 3, padding=1)
        self.conv1x1 = nn.Conv2d(dim_in, dim_out, 1, bias=False) if dim_in != dim_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.conv1x1(x)
        h = self.conv1(leaky(self.norm1(x)))
        if self.down:
            shortcut, h = F.avg_pool2d(shortcut, 2), F.avg_pool2d(h, 2)
        return (shortcut + self.conv2(leaky(self.norm2(h)))) / math.sqrt(2)


class AdaIN(nn.Module):
    """Adaptive instance normalisation: (1 + γ(s)) IN(x) + β(s)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(STYLE_DIM, 2 * dim)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        gamma, beta = self.fc(s)[:, :, None, None].chunk(2, dim=1)
        return (1 + gamma) * F.instance_norm(x) + beta


class AdainResBlk(nn.Module):
    """Residual block with AdaIN; `up` doubles the size, and generators with masks have no `shortcut`."""

    def __init__(self, dim_in: int, dim_out: int, *, up: bool = False, shortcut: bool = True) -> None:
        super().__init__()
        self.up, self.shortcut = up, shortcut
        self.norm1, self.norm2 = AdaIN(dim_in), AdaIN(dim_out)
        self.conv1 = nn.Conv2d(dim_in, dim_out, 3, padding=1)
        self.conv2 = nn.Conv2d(dim_out, dim_out, 3, padding=1)
        # Present without a shortcut too, because every checkpoint contains it.
        self.conv1x1 = nn.Conv2d(dim_in, dim_out, 1, bias=False) if dim_in != dim_out else nn.Identity()

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        h = self.conv1(self._sized(leaky(self.norm1(x, s))))
        h = self.conv2(leaky(self.norm2(h, s)))
        return (h + self.conv1x1(self._sized(x))) / math.sqrt(2) if self.shortcut else h

    def _sized(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.up else x


def high_pass(x: Tensor) -> Tensor:
    """Apply the high-pass filter (w_hpf = 1) to each map: 8 times a pixel minus its 8 neighbours."""
    kernel = torch.full((1, 1, 3, 3), -1.0, dtype=x.dtype, device=x.device)
    kernel[..., 1, 1] = 8.0
    channels = x.shape[1]
    return F.conv2d(x, kernel.repeat(channels, 1, 1, 1), padding=1, groups=channels)


class Generator(nn.Module):
    """Generator G: G(x, s)."""

    def __init__(self, dims: list[int], *, masked: bool) -> None:
        super().__init__()
        dims = dims[:-1] if masked else dims[:-2]
        self.from_rgb = nn.Conv2d(3, dims[0], 3, padding=1)
        pairs = list(zip(dims, dims[1:], strict=False))
        self.encode = nn.ModuleList(
            [ResBlk(fine, coarse, norm=True, down=True) for fine, coarse in pairs]
            + [ResBlk(dims[-1], dims[-1], norm=True) for _ in range(2)]
        )
        self.decode = nn.ModuleList(
            [AdainResBlk(dims[-1], dims[-1], shortcut=not masked) for _ in range(2)]
            + [AdainResBlk(coarse, fine, up=True, shortcut=not masked) for fine, coarse in reversed(pairs)]
        )
        self.to_rgb = nn.Sequential(
            nn.InstanceNorm2d(dims[0], affine=True), nn.LeakyReLU(0.2), nn.Conv2d(dims[0], 3, 1)
        )

    def forward(self, x: Tensor, s: Tensor, masks: Masks | None = None) -> Tensor:
        h = self.from_rgb(x)
        kept = {}
        for block in self.encode:
            if masks is not None and h.shape[2] in SKIP_SIZES:
                kept[h.shape[2]] = h
            h = block(h)
        for block in self.decode:
            h = block(h, s)
            if masks is not None and h.shape[2] in SKIP_SIZES:
                mask = masks[0] if h.shape[2] == SKIP_SIZES[0] else masks[1]
                mask = F.interpolate(mask, size=h.shape[2:], mode="bilinear")
                h = h + high_pass(mask * kept[h.shape[2]])
        x_fake: Tensor = self.to_rgb(h)
        return x_fake


def chosen(heads: nn.ModuleList, h: Tensor, y: Tensor) -> Tensor:
    """Apply the heads of all domains to all samples and select that of each sample's domain."""
    every = torch.stack([head(h) for head in heads], dim=1)
    return every[torch.arange(len(y), device=y.device), y]


class MappingNetwork(nn.Module):
    """Mapping network F: s = F_y(z)."""

    def __init__(self, domains: int) -> None:
        super().__init__()
        wide = [layer for _ in range(3) for layer in (nn.Linear(HIDDEN_DIM, HIDDEN_DIM), nn.ReLU())]
        self.shared = nn.Sequential(nn.Linear(LATENT_DIM, HIDDEN_DIM), nn.ReLU(), *wide)
        self.unshared = nn.ModuleList(
            nn.Sequential(
                nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
                nn.ReLU(),
                nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
                nn.ReLU(),
                nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
                nn.ReLU(),
                nn.Linear(HIDDEN_DIM, STYLE_DIM),
            )
            for _ in range(domains)
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return chosen(self.unshared, self.shared(z), y)


def trunk(dims: list[int]) -> list[nn.Module]:
    """Build the layers that E and D share; they map a picture to (N, dims[-1], 1, 1)."""
    blocks = [ResBlk(fine, coarse, down=True) for fine, coarse in zip(dims, dims[1:], strict=False)]
    return [
        nn.Conv2d(3, dims[0], 3, padding=1),
        *blocks,
        nn.LeakyReLU(0.2),
        nn.Conv2d(dims[-1], dims[-1], 4),
        nn.LeakyReLU(0.2),
    ]


class StyleEncoder(nn.Module):
    """Style encoder E: s = E_y(x)."""

    def __init__(self, dims: list[int], domains: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(*trunk(dims))
        self.unshared = nn.ModuleList(nn.Linear(dims[-1], STYLE_DIM) for _ in range(domains))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return chosen(self.unshared, self.shared(x).flatten(1), y)


class Discriminator(nn.Module):
    """Discriminator D: logits D_y(x)."""

    def __init__(self, dims: list[int], domains: int) -> None:
        super().__init__()
        self.main = nn.Sequential(*trunk(dims), nn.Conv2d(dims[-1], domains, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = self.main(x).flatten(1)
        return logits[torch.arange(len(y), device=y.device), y]


def he_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(
    size: int, domains: int, *, masked: bool, channel_base: int = 16384, max_channels: int = 512
) -> dict[str, nn.Module]:
    """Build the networks for pictures of `size` px, a power of two from 32, under the names in the recipes."""
    halvings = int(math.log2(size)) - 2  # down to 4 px
    dims = [min(channel_base // size * 2**n, max_channels) for n in range(halvings + 1)]
    networks: dict[str, nn.Module] = {
        "generator": Generator(dims, masked=masked),
        "mapping_network": MappingNetwork(domains),
        "style_encoder": StyleEncoder(dims, domains),
        "discriminator": Discriminator(dims, domains),
    }
    for network in networks.values():
        network.apply(he_init)
    return networks
