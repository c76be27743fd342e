"""Components: masks from FAN's heatmaps, masks of ones, and the skip that adds masked edges to the decoder."""

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
    """Two masks of a face from the heatmaps of a frozen FAN.

    Input: `of`, pictures (N, 3, H, W) in [-1, 1] of any size. Output: (mask_full, mask_no_mouth), each
    (N, 1, 256, 256) in [0, 1]. mask_full covers eyes, nose, eyebrows, mouth and chin; mask_no_mouth covers eyes and
    nose.

    weights: FAN's weights, a `wing.ckpt` or the same as `.safetensors`.
    stacks: number of hourglasses. StarGAN v2 was trained with masks of the first.

    FAN stays in eval mode and passes no gradient. It is not a network of the recipe, so optimizers, EMA and
    checkpoints do not contain it. To resume a run, the file of weights is needed again.

    Raises ValueError if the file is unreadable or does not fit.
    """

    def __init__(self, *, weights: Path, stacks: PositiveInt = 1) -> None:
        super().__init__()
        self.fan = load(FAN(stacks=stacks), weights).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)  # FAN's batch norms must not use batch statistics

    @torch.no_grad()
    def forward(self, of: Tensor) -> Masks:
        return masks(self.fan(of))

    @torch.no_grad()
    def landmarks(self, of: Tensor) -> Tensor:
        """Return landmarks (N, 98, 2) as (x, y) in pixels of the square pictures `of`."""
        return landmarks(self.fan(of), of.shape[-1])

    @torch.no_grad()
    def faces(self, of: Tensor) -> Tensor:
        """Return True for each picture that shows a face, (N,) bool: the heatmaps of both pupils reach 0.1."""
        pupils: Tensor = self.fan(of)[:, 96:].amax((2, 3))
        return (pupils >= FLOOR).all(1)


def everywhere(of: Tensor) -> Masks:
    """Two masks of ones, so that the skip acts on the whole picture.

    Input: `of`, pictures (N, C, H, W). Output: two masks (N, 1, H, W).
    """
    ones = of.new_ones(of.shape[0], 1, *of.shape[2:])
    return ones, ones


class HighPass(nn.Module):
    """High-pass skip of StarGAN v2 (w_hpf): adds the edges of masked encoder features to the decoder.

    It computes high_pass(mask * features), a depthwise convolution with zero padding and the kernel

        strength * [[-1, -1, -1],
                    [-1,  8, -1],
                    [-1, -1, -1]]

    strength: factor of the kernel, above 0. The reference divides the kernel by w_hpf, so strength = 1 / w_hpf.
    sizes: heights of the feature maps at which the skip acts. The smallest uses the first mask, the others use the
        second. The defaults are an eighth to a half of the paper's 256 pixels. For smaller pictures choose smaller
        sizes: edges at full size leave little for the generator to change.

    Raises ValueError if `strength` is not a finite number above 0, or `sizes` is empty.
    """

    def __init__(self, *, strength: float = 1.0, sizes: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        if not sizes:
            raise ValueError("sizes is empty, so the skip would have no effect; to train without it, remove the skip")
        self.sizes = sizes
        if not 0 < strength < math.inf:
            raise ValueError(
                f"strength must be a finite number above 0, not {strength}; to train without it, remove the skip"
            )
        self.strength = strength
        self.kernel: Tensor  # integers, exact in every dtype; not in the state dict
        kernel = torch.tensor([[-1.0, -1.0, -1.0], [-1.0, 8.0, -1.0], [-1.0, -1.0, -1.0]])
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, features: Tensor, masks: Masks) -> Tensor:
        """Return the term (N, C, H, W) that is added after a decoder block.

        features: the encoder's feature map of the same height, (N, C, H, W).
        masks: two masks (N, 1, any, any), resized bilinearly.
        """
        mask = masks[0] if features.shape[2] == min(self.sizes) else masks[1]
        x = F.interpolate(mask, size=features.shape[2:], mode="bilinear", align_corners=False) * features
        edges: Tensor = _SelfAdjoint.apply(x, self.kernel, self.strength)
        return edges


class _SelfAdjoint(torch.autograd.Function):
    """Depthwise convolution with a symmetric kernel; it is its own adjoint, so no input is saved for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, strength: float) -> Tensor:
        ctx.filter = kernel, strength
        filters = (kernel.to(x) * strength).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, filters, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _SelfAdjoint.apply(gradient, *ctx.filter), None, None
