"""The patch of a picture around its hole."""

from __future__ import annotations

import torch
from torch import Tensor

Size = tuple[int, int]


def patch(x: Tensor, hole: Tensor, size: Size) -> Tensor:
    """Return the patch (N, C, h, w) of pictures (N, C, H, W) that is centred at the hole, moved into the picture.

    hole: masks (N, 1, H, W). The centre is the mean place of the hole's pixels, or that of the picture without a hole.
    size: height and width of the patch.
    """
    rows, columns = (_places(hole.sum((1, dim)), length) for dim, length in ((3, size[0]), (2, size[1])))
    x = x.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
    return x.gather(3, columns[:, None, None, :].expand(-1, x.shape[1], x.shape[2], -1))


def _places(weights: Tensor, length: int) -> Tensor:
    """Return `length` consecutive indices, (N, length), whose middle is the mean index under `weights`, (N, side)."""
    side = weights.shape[1]
    places = torch.arange(side, device=weights.device, dtype=weights.dtype) + 0.5
    total = weights.sum(1)
    centre = torch.where(total > 0, (weights * places).sum(1) / total.clamp(min=1), side / 2)
    first = (centre - length / 2).floor().long().clamp(0, side - length)
    return first[:, None] + torch.arange(length, device=weights.device)
