"""Conversion between pictures of any size and the size of the networks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2i_core.data.formats.picture import Picture
from i2i_core.data.sets import Layout, extent
from i2i_core.interfaces import Size, Value

Fit = Literal["keep", "crop", "stretch"]
"""The ways to fit a picture to the size of the networks.

keep: the whole picture with its aspect ratio, padded by mirroring its edges; the padding is cut off again.
crop: the centre of the picture, with the aspect ratio of the networks' size.
stretch: the whole picture, resized to the networks' size as in training.
"""
PixelBox = tuple[int, int, int, int]


def fit(value: Value, layout: Layout, how: Fit) -> tuple[Tensor, PixelBox]:
    """Fit a value to the size (H, W) of a layout.

    Returns a fitted tensor (C, H, W) and the box that the picture occupies in it: left, top, right, bottom.
    """
    form, (height, width), size = layout.format, layout.size, extent(value)
    if how == "stretch" or size is None:
        return form.fit(value, layout.size), (0, 0, width, height)
    scales = (width / size[1], height / size[0])
    if how == "crop":
        shares = [one / max(scales) for one in scales]
        left, top = (1 - shares[0]) / 2, (1 - shares[1]) / 2
        return form.fit(value, layout.size, (left, top, 1 - left, 1 - top)), (0, 0, width, height)
    scale = min(scales)
    inner = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    pads = ((0, 0), (top, height - inner[0] - top), (left, width - inner[1] - left))
    padded = np.pad(form.fit(value, inner).numpy(), pads, mode="symmetric")
    return torch.from_numpy(padded), (left, top, left + inner[1], top + inner[0])


def original_size(value: Value, size: Size, how: Fit) -> Size:
    """Return the height and width, in pixels of the picture, of the part that `fit` uses."""
    height, width = extent(value) or size
    if how != "crop":
        return height, width
    scale = max(size[1] / width, size[0] / height)
    return max(1, round(size[0] / scale)), max(1, round(size[1] / scale))


def moved(box: PixelBox, size: Size, to: Size) -> PixelBox:
    """Return the box of a picture of (H, W) in a picture of another size."""
    down, right = to[0] / size[0], to[1] / size[1]
    left, top, end, bottom = box
    return round(left * right), round(top * down), round(end * right), round(bottom * down)


def shrunk(picture: Image.Image, size: Size) -> Image.Image:
    """Resize a picture to fit into (H, W) with its aspect ratio, for display."""
    x, (left, top, right, bottom) = fit(picture, Layout(Picture(), size), "keep")
    return Image.fromarray(x[:, top:bottom, left:right].permute(1, 2, 0).numpy())
