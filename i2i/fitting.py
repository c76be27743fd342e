"""Conversion between pictures of any size and the size of the networks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2i_core.data.batches import to_picture, to_tensor

Fit = Literal["keep", "crop", "stretch"]
"""The ways to fit a picture to the size of the networks.

keep: the whole picture with its aspect ratio, padded by mirroring its edges; the padding is cut off again.
crop: the centre of the picture, with the aspect ratio of the networks' size.
stretch: the whole picture, resized to the networks' size as in training.
"""
PixelBox = tuple[int, int, int, int]


def fit(picture: Image.Image, size: tuple[int, int], how: Fit) -> tuple[Tensor, PixelBox]:
    """Fit an RGB picture to `size` (H, W).

    Returns a uint8 tensor (3, H, W) and the box that the picture occupies in it: left, top, right, bottom.
    """
    height, width = size
    if how == "stretch":
        return to_tensor(picture, size), (0, 0, width, height)
    scales = (width / picture.width, height / picture.height)
    if how == "crop":
        shares = [one / max(scales) for one in scales]
        left, top = (1 - shares[0]) / 2, (1 - shares[1]) / 2
        return to_tensor(picture, size, (left, top, 1 - left, 1 - top)), (0, 0, width, height)
    scale = min(scales)
    inner = (max(1, round(picture.height * scale)), max(1, round(picture.width * scale)))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    pads = ((0, 0), (top, height - inner[0] - top), (left, width - inner[1] - left))
    padded = np.pad(to_tensor(picture, inner).numpy(), pads, mode="symmetric")
    return torch.from_numpy(padded), (left, top, left + inner[1], top + inner[0])


def original_size(picture: Image.Image, size: tuple[int, int], how: Fit) -> tuple[int, int]:
    """Return the width and height, in pixels of the picture, of the part that `fit` uses."""
    if how != "crop":
        return picture.size
    scale = max(size[1] / picture.width, size[0] / picture.height)
    return max(1, round(size[1] / scale)), max(1, round(size[0] / scale))


def shrunk(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize a picture to fit into (H, W) with its aspect ratio, for display."""
    x, (left, top, right, bottom) = fit(picture, size, "keep")
    return to_picture(x[:, top:bottom, left:right] / 127.5 - 1)
