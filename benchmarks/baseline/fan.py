"""FAN and its masks, directly from their definition; plugins/fan_mask/README.md describes the masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 256
PARTS = (  # first and last landmark, rows up, power
    (8, 24, 0, 3),  # chin
    (33, 50, -7, 2),  # eyebrows
    (55, 59, 8, 4),  # nostrils
    (77, 81, -8, 4),  # upper lip
    (83, 87, 8, 4),  # lower lip
    (88, 95, -2, 3),  # inner lip
    (52, 54, 4, 1),  # nose
)
NOT_DRAWN = (*range(0, 8), *range(25, 33), 33, 46, 76, 82)
OUTER = (*range(8, 25), *range(33, 51), *range(76, 96))
"""Landmarks that the second mask leaves out: chin, eyebrows and mouth."""


class CoordConv(nn.Module):
    """CoordConv layer: a convolution whose input is extended by the row, column and radius of each pixel."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + 3, out, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        row = (torch.arange(height, device=x.device) / (height - 1) * 2 - 1)[:, None].expand(height, width)
        column = (torch.arange(width, device=x.device) / (width - 1) * 2 - 1)[None, :].expand(height, width)
        radius = torch.sqrt((row**2 + column**2).double()).float()
        place = torch.stack([row, column, radius / radius.max()]).to(x.dtype)
        out: Tensor = self.conv(torch.cat([x, place.repeat(n, 1, 1, 1)], dim=1))
        return out


def conv3x3(channels: int, out: int) -> nn.Module:
    return nn.Conv2d(channels, out, 3, padding=1, bias=False)


class Block(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), conv3x3(channels, out // 2)
        self.bn2, self.conv2 = nn.BatchNorm2d(out // 2), conv3x3(out // 2, out // 4)
        self.bn3, self.conv3 = nn.BatchNorm2d(out // 4), conv3x3(out // 4, out // 4)
        self.downsample = (
            nn.Identity()
            if channels == out
            else nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, out, 1, bias=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv1(F.relu(self.bn1(x)))
        b = self.conv2(F.relu(self.bn2(a)))
        c = self.conv3(F.relu(self.bn3(b)))
        out: Tensor = torch.cat([a, b, c], dim=1) + self.downsample(x)
        return out


class Hourglass(nn.Module):
    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.coordconv = CoordConv(channels, channels, 1)
        self.b2_plus_1 = Block(channels, channels)
        for level in range(1, depth + 1):
            for place in ("b1", "b2", "b3"):
                self.add_module(f"{place}_{level}", Block(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self._level(self.coordconv(x), self.depth)

    def _level(self, x: Tensor, level: int) -> Tensor:
        if level == 0:
            bottom: Tensor = self.b2_plus_1(x)
            return bottom
        blocks = [self.get_submodule(f"{place}_{level}") for place in ("b1", "b2", "b3")]
        low = blocks[2](self._level(blocks[1](F.avg_pool2d(x, 2)), level - 1))
        out: Tensor = blocks[0](x) + F.interpolate(low, scale_factor=2, mode="nearest")
        return out


class FAN(nn.Module):
    """FAN with masks: pictures (N, 3, H, W) in [-1, 1] to two masks (N, 1, 256, 256), in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = CoordConv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.conv2, self.conv3, self.conv4 = Block(64, 128), Block(128, 128), Block(128, 256)
        self.m0, self.top_m_0 = Hourglass(256, 4), Block(256, 256)
        self.conv_last0, self.bn_end0, self.l0 = nn.Conv2d(256, 256, 1), nn.BatchNorm2d(256), nn.Conv2d(256, 99, 1)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return masks(self.heatmaps(x))

    def heatmaps(self, x: Tensor) -> Tensor:
        """Return heatmaps (N, 98, 64, 64), without FAN's last map, the boundary of the face."""
        if x.shape[2] != SIZE:
            x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear")
        x = F.relu(self.bn1(self.conv1(x * 0.5 + 0.5)))
        x = self.conv4(self.conv3(F.avg_pool2d(self.conv2(x), 2)))
        x = self.top_m_0(self.m0(x))
        maps: Tensor = self.l0(F.relu(self.bn_end0(self.conv_last0(x))))
        return maps[:, :98]


def masks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the masks of 98 heatmaps: all parts of the face, and eyes and nose only."""
    maps = F.interpolate(maps, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    maps = torch.where(maps < 0.1, torch.zeros_like(maps), maps)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    maps = (maps - low) / (high - low + 1e-6)
    for first, last, up, power in PARTS:
        maps[:, first : last + 1] = torch.roll(maps[:, first : last + 1], -up, dims=2) ** power
    maps[:, NOT_DRAWN] = 0
    eyes = maps[:, 60:76]
    maps[:, 60:76] = torch.roll(eyes, 8, dims=2) ** 3 + torch.roll(eyes, 24, dims=2)
    inner = maps.clone()
    inner[:, OUTER] = 0
    full, inner = (torch.nan_to_num(m.sum(1, keepdim=True)).clamp(0, 1) for m in (maps, inner))
    return full, inner
