"""FAN (face alignment network): heatmaps of 98 facial landmarks, from hourglass networks with CoordConv layers.

The modules have the names of the published weights, so that the tensors load by name.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 256  # px: the side of the network's input
MAP_SIZE = 64  # px: the side of its heatmaps
LANDMARKS = 98  # in WFLW's order; one more map follows, of the boundary of the face
BOUNDARY = 0.05  # threshold above which the boundary map counts as boundary for the next hourglass


class CoordConv(nn.Module):
    """CoordConv layer: a convolution whose input is extended by the row, column and radius of each pixel.

    With `boundary` the input is also extended by row and column on the boundary of the face, and 0 elsewhere. The
    boundary comes from the previous hourglass.
    """

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int = 1, *, size: int, boundary: bool = False
    ) -> None:
        super().__init__()
        # Always float32: the published weights were trained with these values.
        line = torch.arange(size, dtype=torch.float32) / (size - 1) * 2 - 1
        row, column = torch.meshgrid(line, line, indexing="ij")
        radius = (row.square() + column.square()).double().sqrt().float()  # float32 roots differ between processors
        grid = torch.stack([row, column, radius / radius.max()])
        self.grid: Tensor
        self.register_buffer("grid", grid, persistent=False)
        self.conv = nn.Conv2d(channels + (5 if boundary else 3), out, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor, boundary: Tensor | None = None) -> Tensor:
        """Apply the convolution to x (N, channels, size, size).

        boundary: boundary map (N, 1, size, size), about 1 on the boundary of the face.
        """
        parts = [x, self.grid.expand(x.shape[0], -1, -1, -1)]
        if boundary is not None:
            parts.append(self.grid[:2] * (boundary > BOUNDARY))
        out: Tensor = self.conv(torch.cat(parts, dim=1))
        return out


class Block(nn.Module):
    """Residual block: three pre-activation 3×3 convolutions in sequence, whose outputs are concatenated."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out // 2)
        self.conv2 = nn.Conv2d(out // 2, out // 4, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out // 4)
        self.conv3 = nn.Conv2d(out // 4, out // 4, 3, padding=1, bias=False)
        self.downsample: nn.Module = nn.Identity()
        if channels != out:
            widen = nn.Conv2d(channels, out, 1, bias=False)
            self.downsample = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), widen)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(F.relu(self.bn1(x)))
        second = self.conv2(F.relu(self.bn2(first)))
        third = self.conv3(F.relu(self.bn3(second)))
        out: Tensor = torch.cat([first, second, third], dim=1) + self.downsample(x)
        return out


class Hourglass(nn.Module):
    """Hourglass network: four halvings and four doublings, with a skip connection at each resolution."""

    def __init__(self, channels: int, *, size: int, depth: int = 4, boundary: bool = False) -> None:
        super().__init__()
        self.depth = depth
        self.coordconv = CoordConv(channels, channels, kernel=1, size=size, boundary=boundary)
        for level in range(depth, 0, -1):
            self.add_module(f"b1_{level}", Block(channels, channels))
            self.add_module(f"b2_{level}", Block(channels, channels))
        self.b2_plus_1 = Block(channels, channels)
        for level in range(1, depth + 1):
            self.add_module(f"b3_{level}", Block(channels, channels))

    def forward(self, x: Tensor, boundary: Tensor | None = None) -> Tensor:
        return self._level(self.coordconv(x, boundary), self.depth)

    def _level(self, x: Tensor, level: int) -> Tensor:
        skip = self.get_submodule(f"b1_{level}")(x)
        low = self.get_submodule(f"b2_{level}")(F.avg_pool2d(x, 2))
        low = self._level(low, level - 1) if level > 1 else self.b2_plus_1(low)
        low = self.get_submodule(f"b3_{level}")(low)
        out: Tensor = skip + F.interpolate(low, scale_factor=2, mode="nearest")
        return out


class FAN(nn.Module):
    """FAN: heatmaps of the 98 landmarks of a face.

    Input: pictures (N, 3, H, W) in [-1, 1]. They are resized to 256 px bilinearly.
    Output: heatmaps (N, 98, 64, 64), about 1 at the landmark and 0 elsewhere. The boundary map is dropped.

    stacks: number of hourglasses. Each one refines the features, heatmaps and boundary map of the previous one, and
        the heatmaps of the last are returned. StarGAN v2 uses 1; the network published for WFLW has 4.
    """

    def __init__(self, *, stacks: int = 1) -> None:
        super().__init__()
        self.stacks = stacks
        self.conv1 = CoordConv(3, 64, kernel=7, stride=2, size=SIZE)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = Block(64, 128)
        self.conv3 = Block(128, 128)
        self.conv4 = Block(128, 256)
        for n in range(stacks):
            self.add_module(f"m{n}", Hourglass(256, size=MAP_SIZE, boundary=n > 0))
            self.add_module(f"top_m_{n}", Block(256, 256))
            self.add_module(f"conv_last{n}", nn.Conv2d(256, 256, 1))
            self.add_module(f"bn_end{n}", nn.BatchNorm2d(256))
            self.add_module(f"l{n}", nn.Conv2d(256, LANDMARKS + 1, 1))
            if n < stacks - 1:
                self.add_module(f"bl{n}", nn.Conv2d(256, 256, 1))
                self.add_module(f"al{n}", nn.Conv2d(LANDMARKS + 1, 256, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.interpolate(pictures, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        x = self.conv1(x * 0.5 + 0.5)  # from [-1, 1] to [0, 1]
        x = self.conv2(F.relu(self.bn1(x)))
        x = self.conv4(self.conv3(F.avg_pool2d(x, 2)))
        features, maps = self._stack(0, x)
        for n in range(1, self.stacks):
            x = x + self.get_submodule(f"bl{n - 1}")(features) + self.get_submodule(f"al{n - 1}")(maps)
            features, maps = self._stack(n, x, maps[:, LANDMARKS:])
        return maps[:, :LANDMARKS]

    def _stack(self, n: int, x: Tensor, boundary: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Apply hourglass n to x; return features (N, 256, 64, 64) and the maps of landmarks and boundary."""
        hourglass, top, last, norm, heads = (
            self.get_submodule(f"{name}{n}") for name in ("m", "top_m_", "conv_last", "bn_end", "l")
        )
        features: Tensor = F.relu(norm(last(top(hourglass(x, boundary)))))
        return features, heads(features)
