"""Two small networks with published weights (MIT, 550 KB, in this package): a face detector and 68 facial landmarks.

The weights come from the npm package @vladmandic/face-api: 8-bit integers with a scale and an offset per tensor.
rebuild.py creates the file. Both networks take RGB pictures in [-1, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("face_api.safetensors")
SIDE = 112  # px: the side of the crop in which landmarks are found
STRIDE = 32  # px of the detector's input to one of its cells
ANCHORS = ((1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308))
"""Anchors: width and height, in cells, of the boxes that the detector scales."""

Module = TypeVar("Module", bound=nn.Module)


class Separable(nn.Module):
    """Depthwise separable convolution: a depthwise 3×3 convolution, then a 1×1 convolution.

    With stride 2 an even side is padded with zeros at its end only, as in TensorFlow.
    """

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.padding = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(F.pad(x, self.padding)))
        return out


class DenseBlock(nn.Module):
    """Dense block: a convolution of stride 2, then three convolutions, each on the sum of all previous outputs."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, out, 3, stride=2) if channels == 3 else Separable(channels, out, stride=2)
        self.conv1, self.conv2, self.conv3 = (Separable(out, out) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.conv0, nn.Conv2d):
            x = F.pad(x, (0, 1, 0, 1))
        total = F.relu(self.conv0(x))
        total = total + self.conv1(total)
        total = total + self.conv2(F.relu(total))
        return F.relu(total + self.conv3(F.relu(total)))


class Points68(nn.Module):
    """Network for the 68 landmarks of a face, in iBUG's order.

    Input: crops (N, 3, 112, 112) in [-1, 1], filled by the face. Output: (N, 68, 2), (x, y) as shares of the crop.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        for i, (channels, out) in enumerate(zip(widths, widths[1:], strict=False)):
            self.add_module(f"dense{i}", DenseBlock(channels, out))
        self.fc = nn.Linear(256, 136)

    def forward(self, crops: Tensor) -> Tensor:
        x = _centred(crops, (122.782, 117.001, 104.298))
        for i in range(4):
            x = self.get_submodule(f"dense{i}")(x)
        out: Tensor = self.fc(x.mean((2, 3)))
        return out.reshape(-1, 68, 2)


class Detector(nn.Module):
    """Face detector: tiny YOLO v2 with depthwise separable convolutions.

    Input: pictures (N, 3, H, W) in [-1, 1]. A face should have a quarter to three quarters of their height.
    Output: boxes (N, B, 4) as (x, y, width, height) in pixels, with (x, y) the centre, and scores (N, B) in [0, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, 256, 512)
        self.conv0 = nn.Conv2d(3, widths[0], 3, padding=0)
        for i in range(1, 6):
            self.add_module(f"conv{i}", Separable(widths[i - 1], widths[i]))
        self.conv8 = nn.Conv2d(widths[-1], 5 * len(ANCHORS), 1)
        self.anchors: Tensor
        self.register_buffer("anchors", torch.tensor(ANCHORS), persistent=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = _centred(pictures, (117.001, 114.697, 97.404))
        for i in range(6):
            x = F.leaky_relu(self.get_submodule(f"conv{i}")(x), 0.1)
            x = F.max_pool2d(x, 2, ceil_mode=True) if i < 5 else F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-1e9), 2, 1)
        found = self.conv8(x).unflatten(1, (len(ANCHORS), 5)).permute(0, 3, 4, 1, 2)  # (N, rows, columns, anchors, 5)
        rows, columns = (torch.arange(n, device=x.device, dtype=x.dtype) for n in found.shape[1:3])
        cells = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[:, :, None]
        centres = found[..., :2].sigmoid() + cells
        boxes = torch.cat([centres, found[..., 2:4].exp() * self.anchors], dim=-1) * STRIDE
        return boxes.flatten(1, 3), found[..., 4].sigmoid().flatten(1)


def published(network: Module, name: str) -> Module:
    """Load the published weights of a network and freeze it; `name` is the prefix of its tensors in the file."""
    stored = load(WEIGHTS.read_bytes())  # not load_file, whose tensors have no shapes in a dry run
    state = {}
    for key in network.state_dict():
        step, least = stored[f"{name}.{key}:scale"]
        state[key] = (stored[f"{name}.{key}"].double() * step + least).float()
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _centred(pictures: Tensor, mean: tuple[float, float, float]) -> Tensor:
    """Scale pictures from [-1, 1] to [0, 1] and subtract `mean`, which is given for values up to 255."""
    return pictures * 0.5 + (0.5 - pictures.new_tensor(mean) / 255)[:, None, None]
