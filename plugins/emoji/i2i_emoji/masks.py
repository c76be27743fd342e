"""Masks for a generator's skip: where there is a drawing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt
from torch import Tensor


@torch.no_grad()
def ink(of: Tensor, *, margin: NonNegativeInt = 2) -> tuple[Tensor, Tensor]:
    """Where drawings are not white paper, and `margin` pixels around: the skip then acts there alone.

    of: pictures (N, C, H, W) in [-1, 1]. Gives (N, 1, H, W) twice, 0 on paper and 1 where a channel is dark.
    """
    dark = ((1 - of) / 2).clamp(0, 1).amax(dim=1, keepdim=True)
    mask = F.max_pool2d(dark, 2 * margin + 1, stride=1, padding=margin)
    return mask, mask
