"""Conversion between pictures of any size and the size of the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2i_core.data.formats.picture import Picture
from i2i_core.interfaces import WHOLE, Box, Format, Size, Value
from i2i_core.recipe.sections import Fit

Side = Literal["left", "right"]
PixelBox = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""
FAR = 1.5
"""Factor by which a picture's aspect ratio may be outside the range of training."""
SMALL = 0.5
"""Share of the shortest side in training below which a picture is small."""


class Seen(NamedTuple):
    """Pictures of training, without the most extreme hundredths."""

    aspects: tuple[float, float]
    """Range of width / height."""
    sides: tuple[int, int]
    """Range of the shorter side in pixels."""


@dataclass(frozen=True)
class Layout:
    """The form of a batch field: its format, the height and width in pixels, and how pictures come to that size."""

    format: Format
    size: Size
    fit: Fit = "stretch"
    seen: Seen | None = None
    """The pictures of training, where they are known."""
    half: Side | None = None
    """The half of a file that was a picture of training, for pairs side by side."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one encoded value, (C, H, W) or (K,)."""
        return tuple(self.examples(1, torch.float32).shape[1:])

    def examples(self, count: int, dtype: torch.dtype) -> Tensor:
        """Return `count` encoded values of random numbers, the same in each call."""
        rng = np.random.default_rng(0)
        return self.format.encode(torch.stack([self.format.example(self.size, rng) for _ in range(count)]), dtype)


def extent(value: Value) -> Size | None:
    """Return the height and width of a picture or array, or None for other values."""
    if isinstance(value, Image.Image):
        return value.height, value.width
    return value.shape[:2] if isinstance(value, np.ndarray) and value.ndim > 1 else None


def part_of(extent: tuple[float, float], layout: Layout, box: Box = WHOLE) -> tuple[Box, Size]:
    """Return the part of a box that the networks get, as a box, and its height and width in their pictures.

    extent: height and width of the picture. What the part leaves free of (H, W) is padding.
    """
    if layout.fit == "patch" and box == WHOLE:
        box = patch_at((0.5, 0.5), extent, layout.size)
    (height, width), (left, top, right, bottom) = layout.size, box
    h, w = (bottom - top) * extent[0], (right - left) * extent[1]
    if layout.fit == "stretch":
        return box, layout.size
    if layout.fit == "patch":
        return box, (max(1, round(h)), max(1, round(w)))
    if layout.fit == "keep":
        scale = min(height / h, width / w)
        return box, (max(1, round(h * scale)), max(1, round(w * scale)))
    scale = max(height / h, width / w)
    rest_x, rest_y = (max(0.0, 1 - side / scale / own) for side, own in ((width, w), (height, h)))  # not -1e-16
    x, y = (right - left) * rest_x / 2, (bottom - top) * rest_y / 2
    return (left + x, top + y, right - x, bottom - y), layout.size


def patch_at(shares: tuple[float, float], extent: tuple[float, float], size: Size, step: int = 1) -> Box:
    """Return the box of a part of `size` pixels of a picture, or of the whole picture where that is smaller.

    shares: vertical and horizontal place in [0, 1); 0.5 is the centre. extent: height and width of the picture. step:
    the part begins at a multiple of so many pixels.
    """
    starts, ends = [], []
    for share, side, wanted in zip(shares, extent, size, strict=True):
        places = max(int(side) - wanted, 0) // step + 1
        start = int(share * places) * step
        starts.append(start / side)
        ends.append(min(start + wanted, side) / side)
    return starts[1], starts[0], ends[1], ends[0]


def fit(value: Value, layout: Layout, box: Box = WHOLE, flip: bool = False) -> tuple[Tensor, PixelBox]:
    """Fit a box of a value to the size (H, W) of a layout, and optionally mirror it.

    Returns a fitted tensor (C, H, W), or (K,) for numbers, and the box that the picture occupies in it.
    """
    if (size := extent(value)) is None:
        return layout.format.fit(value, layout.size, box, flip), (0, 0, *layout.size[::-1])
    part, inner = part_of(size, layout, box)
    return padded(layout.format.fit(value, inner, part, flip), layout.size)


def padded(x: Tensor, size: Size) -> tuple[Tensor, PixelBox]:
    """Pad pictures (..., h, w) to (..., H, W) by mirroring their edges; return them, and the box of the pictures."""
    inner = (x.shape[-2], x.shape[-1])
    top, left = ((side - own) // 2 for side, own in zip(size, inner, strict=True))
    if inner != size:
        rows, columns = (
            _mirrored(own, start, side, x.device) for own, start, side in zip(inner, (top, left), size, strict=True)
        )
        x = x.index_select(-2, rows).index_select(-1, columns)
    return x, (left, top, left + inner[1], top + inner[0])


def _mirrored(own: int, start: int, side: int, device: torch.device) -> Tensor:
    """Return the index of each of `side` pixels among `own` that begin at `start`, mirrored as often as needed."""
    place = torch.arange(-start, side - start, device=device) % (2 * own)
    return torch.where(place < own, place, 2 * own - 1 - place)


def original_size(value: Value, layout: Layout) -> Size:
    """Return the height and width, in pixels of the picture, of the part that `fit` uses."""
    height, width = extent(value) or layout.size
    left, top, right, bottom = part_of((height, width), layout)[0]
    return max(1, round((bottom - top) * height)), max(1, round((right - left) * width))


def moved(box: PixelBox, size: Size, to: Size) -> PixelBox:
    """Return the box of a picture of (H, W) in a picture of another size."""
    down, right = to[0] / size[0], to[1] / size[1]
    left, top, end, bottom = box
    return round(left * right), round(top * down), round(end * right), round(bottom * down)


def shrunk(picture: Image.Image, size: Size) -> Image.Image:
    """Resize a picture to fit into (H, W) with its aspect ratio, for display."""
    x, (left, top, right, bottom) = fit(picture, Layout(Picture(), size, "keep"))
    return Image.fromarray(x[:, top:bottom, left:right].permute(1, 2, 0).numpy())


def half_of(value: Value, side: Side) -> Value:
    """Return the left or right half of a picture or array; other values have no halves and are returned as they are."""
    if (size := extent(value)) is None:
        return value
    middle = size[1] // 2
    start = 0 if side == "left" else middle
    if isinstance(value, Image.Image):
        return value.crop((start, 0, start + middle, size[0]))
    return value[:, start : start + middle]


def is_double(value: Value, layout: Layout) -> bool:
    """Return True if a picture is twice as wide as those of training, up to 2 %.

    If these are not known, it is compared with the size of the networks.
    """
    size = extent(value)
    if size is None:
        return False
    low, high = layout.seen.aspects if layout.seen else (layout.size[1] / layout.size[0],) * 2
    return 2 * low * 0.98 <= size[1] / size[0] <= 2 * high * 1.02 and not low <= size[1] / size[0] <= high


def seen(extents: list[Size]) -> Seen | None:
    """Summarise the heights and widths of the pictures of training; None without any."""
    if not extents:
        return None
    sizes = np.asarray(extents)
    low, high = np.quantile(sizes[:, 1] / sizes[:, 0], (0.01, 0.99))
    least, greatest = np.quantile(sizes.min(1), (0.01, 0.99))
    return Seen((round(float(low), 4), round(float(high), 4)), (round(least), round(greatest)))


def unlike_training(value: Value, layout: Layout) -> str:
    """Return the difference of a picture from all those of training, as a phrase; "" if there is none."""
    size = extent(value)
    if size is None or layout.seen is None:
        return ""
    (low, high), (least, _), aspect = *layout.seen, size[1] / size[0]
    if layout.fit != "patch" and not low / FAR <= aspect <= high * FAR:
        trained = f"{low:.2g}" if f"{low:.2g}" == f"{high:.2g}" else f"{low:.2g} to {high:.2g}"
        return f"its width is {aspect:.2g} of its height, and {trained} in training"
    if min(size) < SMALL * least and min(size) < min(layout.size):
        return f"its shorter side has {min(size)} pixels, and at least {least} in training"
    return ""
