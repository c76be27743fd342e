"""Pictures of any size for networks that see one size, and back."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2i_core.data.batches import to_picture, to_tensor

Fit = Literal["keep", "crop", "stretch"]
"""keep: the whole picture in its aspect, its edges mirrored outside of it while it is translated; crop: the middle, in
the aspect of the networks' size; stretch: the whole picture at that size, as in training."""
PixelBox = tuple[int, int, int, int]


def fit(picture: Image.Image, size: tuple[int, int], how: Fit) -> tuple[Tensor, PixelBox]:
    """An RGB picture as uint8 (3, H, W) of `size` (H, W), and where in it the picture is: left, top, right, bottom."""
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
    """Width and height in the picture's pixels of what `fit` takes of it."""
    if how != "crop":
        return picture.size
    scale = max(size[1] / picture.width, size[0] / picture.height)
    return max(1, round(size[1] / scale)), max(1, round(size[0] / scale))


def shrunk(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture in its aspect that fits into (H, W), for people."""
    x, (left, top, right, bottom) = fit(picture, size, "keep")
    return to_picture(x[:, top:bottom, left:right] / 127.5 - 1)
