"""Masks of drawings for the generator's skip."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt
from torch import Tensor


@torch.no_grad()
def ink(of: Tensor, *, margin: NonNegativeInt = 2) -> tuple[Tensor, Tensor]:
    """Two equal masks of the drawing on white paper, so that the skip acts only there.

    Input: `of`, pictures (N, C, H, W) in [-1, 1]. Output: two masks (N, 1, H, W), 0 on white and 1 where a channel is
    dark.

    margin: pixels by which the mask extends beyond the drawing.
    """
    dark = ((1 - of) / 2).clamp(0, 1).amax(dim=1, keepdim=True)
    mask = F.max_pool2d(dark, 2 * margin + 1, stride=1, padding=margin)
    return mask, mask
