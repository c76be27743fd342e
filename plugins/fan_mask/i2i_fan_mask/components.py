"""What recipes name: masks from FAN, masks of ones, and the skip that carries masked edges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from .fan import FAN
from .landmarks import landmarks
from .masks import FLOOR, masks
from .weights import load

Masks = tuple[Tensor, Tensor]


class Heatmaps(nn.Module):
    """The two masks of a face, from the heatmaps of a frozen FAN.

    `of`: pictures (N, 3, H, W) in [-1, 1], any size. Gives (mask_full, mask_no_mouth), each (N, 1, 256, 256)
    in [0, 1]: the first covers eyes, nose, eyebrows, mouth and chin, the second eyes and nose.
    `weights`: a `wing.ckpt`, or the same as `.safetensors`. `stacks`: with how many of its hourglasses; StarGAN v2
    was trained with the masks of the first.
    FAN stays in eval mode, has no gradient and passes none on. It is no network of the recipe, so no
    optimizer, EMA or checkpoint holds it: resuming a run needs the file again.
    """

    def __init__(self, *, weights: Path, stacks: PositiveInt = 1) -> None:
        super().__init__()
        self.fan = load(FAN(stacks=stacks), weights).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)  # FAN's batch norms must never see batch statistics

    @torch.no_grad()
    def forward(self, of: Tensor) -> Masks:
        return masks(self.fan(of))

    @torch.no_grad()
    def landmarks(self, of: Tensor) -> Tensor:
        """Landmarks (N, 98, 2) as (x, y) in pixels of the square pictures `of`."""
        return landmarks(self.fan(of), of.shape[-1])

    @torch.no_grad()
    def faces(self, of: Tensor) -> Tensor:
        """Which of the pictures show a face: (N,) bool. Where a pupil's map stays below 0.1, none is there."""
        pupils: Tensor = self.fan(of)[:, 96:].amax((2, 3))
        return (pupils >= FLOOR).all(1)


def everywhere(of: Tensor) -> Masks:
    """Two masks of ones: the skip acts on the whole picture, whatever it shows.

    `of`: pictures (N, C, H, W). Gives (N, 1, H, W) twice.
    """
    ones = of.new_ones(of.shape[0], 1, *of.shape[2:])
    return ones, ones


class HighPass(nn.Module):
    """The edges of what the masks cover, added to the decoder: the high-pass filter of StarGAN v2 (w_hpf).

    Computes high_pass(mask * features), a depthwise convolution with zero padding and the kernel

        strength * [[-1, -1, -1],
                    [-1,  8, -1],
                    [-1, -1, -1]]

    The reference divides the kernel by its w_hpf, so strength = 1 / w_hpf: a larger strength adds more.
    It acts where feature maps are `sizes` high: under the first mask at the smallest of them, under the second
    at the others. The reference's 32, 64 and 128 are an eighth to a half of its pictures' 256 pixels; smaller
    pictures want smaller ones, since edges at full size leave little for the generator to change.
    """

    def __init__(self, *, strength: float = 1.0, sizes: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        if not sizes:
            raise ValueError("sizes is empty, so the skip would act nowhere; for no skip at all, leave it out")
        self.sizes = sizes
        if not 0 < strength < math.inf:
            raise ValueError(f"strength must be above 0, not {strength}; for no skip at all, leave it out")
        self.strength = strength
        self.kernel: Tensor  # whole numbers, exact in every dtype; never in a state dict
        kernel = torch.tensor([[-1.0, -1.0, -1.0], [-1.0, 8.0, -1.0], [-1.0, -1.0, -1.0]])
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, features: Tensor, masks: Masks) -> Tensor:
        """What is added after a decoder block.

        `features`: (N, C, H, W), what the encoder had at this size. `masks`: two of (N, 1, any, any), resized
        bilinearly. Gives (N, C, H, W).
        """
        mask = masks[0] if features.shape[2] == min(self.sizes) else masks[1]
        x = F.interpolate(mask, size=features.shape[2:], mode="bilinear", align_corners=False) * features
        edges: Tensor = _SelfAdjoint.apply(x, self.kernel, self.strength)
        return edges


class _SelfAdjoint(torch.autograd.Function):
    """A symmetric kernel on every channel, which is its own derivative: so nothing has to be kept for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, strength: float) -> Tensor:
        ctx.filter = kernel, strength
        filters = (kernel.to(x) * strength).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, filters, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _SelfAdjoint.apply(gradient, *ctx.filter), None, None
