"""Positions of landmarks from their heatmaps."""

from __future__ import annotations

import torch
from torch import Tensor


def landmarks(heatmaps: Tensor, image_size: int) -> Tensor:
    """Return landmarks (N, 98, 2) as (x, y) in pixels of a picture of `image_size` px.

    heatmaps: (N, 98, 64, 64).

    A landmark is the position of the largest value of its heatmap, moved on each axis by a quarter of the heatmap's
    pixel towards the larger neighbour. Positions on the border are not moved. The centre of the first pixel is 0.5.
    """
    side = heatmaps.shape[-1]
    maps = heatmaps.flatten(2)
    best = maps.argmax(2, keepdim=True)
    x, y = best % side, best // side
    inside = (x > 0) & (x < side - 1) & (y > 0) & (y < side - 1)

    def slope(step: int) -> Tensor:
        after, before = ((best + offset).clamp(0, side * side - 1) for offset in (step, -step))
        return (maps.gather(2, after) - maps.gather(2, before)).sign()

    towards = torch.cat([slope(1), slope(side)], dim=2) * inside
    return (torch.cat([x, y], dim=2) + 0.5 + 0.25 * towards) * (image_size / side)
