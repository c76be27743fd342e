"""The formats of pictures whose pixels are no colours: class ids and masks."""

from __future__ import annotations

import colorsys
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field, PositiveInt
from torch import Tensor

from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.colours import as_rgb, boxes, numbers_of
from i2i_core.data.decoding.files import decode_numbers
from i2i_core.data.pictures import SUFFIXES
from i2i_core.interfaces import WHOLE, Box, Size

_Level = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[_Level, _Level, _Level]
Ids = np.ndarray[Any, Any]
IN_A_PALETTE = 256
"""Most classes that an indexed PNG has colours for."""
MOST_CLASSES = 2**16
"""Most classes of one-hot labels, which take a channel each."""
COLOURFUL = 64
"""Greatest difference between the channels of a grey picture; lossy files have some."""


def sampled(ids: Ids, size: Size, box: Box = WHOLE, flip: bool = False) -> Ids:
    """Crop an array (h, w) to `box` and resize it to (H, W) by the nearest pixel; mirror it if `flip`."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) / n * (end - start) + start) * old, old - 1).astype(np.int64)
        for n, old, start, end in zip(size, ids.shape, box[1::-1], box[:1:-1], strict=True)
    )
    return ids[np.ix_(rows, columns[::-1] if flip else columns)]


class _Nearest:
    """Resizing by the nearest pixel."""

    def resize(self, fitted: Tensor, size: Size) -> Tensor:
        return F.interpolate(fitted.double(), size, mode="nearest-exact").to(fitted.dtype)

    def scale(self, value: Image.Image, size: Size) -> Image.Image:
        return value.resize(size[::-1], Image.Resampling.NEAREST)


@dataclass(frozen=True, kw_only=True)
class Labels(_Nearest):
    """Label maps: the class id of each pixel, one-hot (classes, H, W) or as integers (1, H, W).

    Ids are the numbers of a grey or indexed picture, with 8, 16 or 32 bits; with a `palette`, also the colours of an
    RGB picture. They are resized by the nearest pixel. Results are indexed PNGs, or for more than 256 classes grey ones
    with 16 bits.

    classes: number of classes; ids are 0 to classes − 1.
    one_hot: encode classes as channels of 0 and 1. false gives integers, for example ids of instances, which need no
        `classes`.
    ignore: an id beyond the classes for pixels without a class; one-hot, all their channels are 0.
    palette: RGB colours of the classes, in order, from 0 to 255; default: distinct ones.
    """

    classes: PositiveInt | None = None
    one_hot: bool = True
    ignore: Annotated[int, Field(ge=0)] | None = None
    palette: tuple[Colour, ...] | None = None

    kind: ClassVar = Image.Image
    suffixes: ClassVar = (".png", ".bmp", ".tif", ".tiff", ".gif")

    def __post_init__(self) -> None:
        if self.one_hot and self.classes is None:
            raise ValueError("one-hot labels need the number of classes; write classes: N, or one_hot: false for ids")
        if self.one_hot and (self.classes or 0) > MOST_CLASSES:
            raise ValueError(f"one-hot labels have at most {MOST_CLASSES:,} classes; write one_hot: false for ids")
        if self.ignore is not None and self.ignore < (self.classes or 0):
            raise ValueError(f"ignore is {self.ignore}, which is one of the {self.classes} classes; name an id beyond")
        colours = self.palette or ()
        if self.palette is not None and len(colours) < (self.classes or 0):
            raise ValueError(f"the palette has {len(colours)} colours for {self.classes} classes")
        if twice := [colour for n, colour in enumerate(colours) if colour in colours[:n]]:
            raise ValueError(f"the palette has the colour {[*twice[0]]} twice; each class needs its own")

    @property
    def limits(self) -> tuple[float, float]:
        return (0.0, 1.0) if self.one_hot else (0.0, float((self.classes or 2**31) - 1))

    @BUDGET.turn()
    def read(self, path: Path) -> Image.Image:
        """Read a label map as a picture whose numbers are ids. Raises ValueError for ids that are not classes."""
        picture = decode_numbers(path)
        if picture.format in ("JPEG", "MPO", "AVIF", "HEIF"):
            raise ValueError(f"a {picture.format} has changed the ids of its pixels; save label maps as .png")
        return self.converted(picture)

    def converted(self, picture: Image.Image) -> Image.Image:
        """Check the ids of a decoded picture; look the colours of an RGB picture up in the palette."""
        if picture.mode == "1":
            picture = Image.fromarray(np.asarray(picture).astype(np.uint8))
        if picture.mode not in ("L", "P") and not picture.mode.startswith("I"):
            picture = Image.fromarray(self._looked_up(picture))
        ids = numbers_of(picture)
        beyond = np.inf if self.classes is None else self.classes
        if ids.min(initial=0) >= 0 and ids.max(initial=0) < beyond:
            return picture
        wrong = ids >= beyond
        if self.ignore is not None:
            wrong &= ids != self.ignore
        wrong |= ids < 0
        if wrong.any():
            if self.classes is None:
                raise ValueError(f"{wrong.sum():,} pixels have negative ids, for example {ids[wrong].min()}")
            raise ValueError(
                f"{wrong.sum():,} pixels have ids beyond the {self.classes} classes 0 to {self.classes - 1}, "
                f"for example {ids[wrong].max()}; correct the ids, or classes in the recipe"
            )
        return picture

    def fit(self, value: Image.Image, size: Size, box: Box = WHOLE, flip: bool = False) -> Tensor:
        """Return ids as uint8 if they are known to fit, else as int32, (1, H, W)."""
        small = self.classes is not None and max(self.classes - 1, self.ignore or 0) < IN_A_PALETTE
        ids = sampled(np.asarray(value), size, box, flip).astype(np.uint8 if small else np.int32)
        return torch.from_numpy(ids[None])

    def encode(self, fitted: Tensor, dtype: torch.dtype) -> Tensor:
        if not self.one_hot:
            return fitted.long()
        classes = torch.arange(self.classes or 0, device=fitted.device, dtype=torch.int32)[:, None, None]
        return (fitted == classes).to(dtype)

    def decode(self, x: Tensor) -> Image.Image:
        """Return the class with the greatest number of each pixel as an indexed picture."""
        ids = (x.argmax(0) if self.one_hot else x[0].round().clamp(*self.limits)).cpu().numpy()
        most = self.classes or int(ids.max()) + 1
        if most > IN_A_PALETTE:
            return Image.fromarray(ids.astype(np.uint16 if most <= 2**16 else np.int32))
        picture = Image.fromarray(ids.astype(np.uint8), "L")
        picture.putpalette(self._colours(most).tobytes())  # changes its mode to P
        return picture

    def show(self, value: Image.Image) -> Image.Image:
        ids = np.asarray(value).astype(np.int64)
        colours = self._colours(max(self.classes or 0, int(ids.max(initial=0)) + 1))
        return Image.fromarray(colours[ids])

    def file(self, value: Image.Image, suffix: str) -> bytes:
        return _without_loss(value, suffix)

    def example(self, size: Size, rng: np.random.Generator) -> Tensor:
        return self.fit(Image.fromarray(rng.integers(self.classes or 10, size=size, dtype=np.int32)), size)

    def _colours(self, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return RGB colours for `count` ids; those beyond the palette, such as `ignore`, are distinct ones."""
        given = list(self.palette or ())
        return np.array([*given, *map(_distinct, range(len(given), count))], np.uint8)[:count]

    def _looked_up(self, picture: Image.Image) -> Ids:
        if not self.palette:
            raise ValueError(
                f"it is a picture of mode {picture.mode}, and class ids are grey or indexed; name the colours of the "
                f"classes as palette"
            )
        known = _codes(np.array(self.palette, np.uint8))
        order = np.argsort(known)
        ids = np.empty((picture.height, picture.width), np.int32)
        lacking, pixels = set[int](), 0
        for box in boxes(picture.size):
            codes = _codes(np.asarray(as_rgb(picture.crop(box))))
            places = order[np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)]
            unknown = known[places] != codes
            lacking.update(np.unique(codes[unknown]).tolist())
            pixels += int(unknown.sum())
            ids[box[1] : box[3]] = np.where(unknown, self.ignore or 0, places)
        if lacking and self.ignore is None:
            named = [f"#{colour:06x}" for colour in sorted(lacking)[:3]]
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            raise ValueError(f"{pixels:,} pixels have colours that the palette lacks: {', '.join(named)}{more}")
        return ids


@dataclass(frozen=True)
class Mask(_Nearest):
    """Masks of 0 and 1, (1, H, W); resized by the nearest pixel.

    In a file, a pixel counts as 1 from half of the greatest grey level on, which is 255, or 65535 for larger numbers. A
    file of zeros and ones is taken as it is, and so is an indexed one if its colour 1 is the lighter one.
    """

    kind: ClassVar = Image.Image
    suffixes: ClassVar = SUFFIXES
    limits: ClassVar = (0.0, 1.0)

    @BUDGET.turn()
    def read(self, path: Path) -> Image.Image:
        return self.converted(decode_numbers(path))

    def converted(self, picture: Image.Image) -> Image.Image:
        """Convert a decoded picture to black and white. Raises ValueError for colours, and if all levels are low."""
        if (ones := _ones(picture)) is None:
            ones = _light(as_rgb(picture))
        return Image.fromarray(np.where(ones, np.uint8(255), np.uint8(0)))

    def fit(self, value: Image.Image, size: Size, box: Box = WHOLE, flip: bool = False) -> Tensor:
        return torch.from_numpy((sampled(np.asarray(value), size, box, flip) >= 128).astype(np.uint8)[None])

    def encode(self, fitted: Tensor, dtype: torch.dtype) -> Tensor:
        return fitted.to(dtype)

    def decode(self, x: Tensor) -> Image.Image:
        return Image.fromarray(np.where(x[0].float().cpu().numpy() > 0.5, 255, 0).astype(np.uint8))

    def show(self, value: Image.Image) -> Image.Image:
        return value.convert("RGB")

    def file(self, value: Image.Image, suffix: str) -> bytes:
        return _without_loss(value, suffix)

    def example(self, size: Size, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.integers(2, size=(1, *size), dtype=np.uint8))


def _codes(colours: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return colours (..., 3) as numbers 0xRRGGBB."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) + (green << 8) + blue


def _ones(picture: Image.Image) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Return the ones of a picture whose numbers are 0 and 1, or end below 256 in more bits; None for other ones."""
    deep = picture.mode.startswith("I")
    if not deep and picture.mode not in ("L", "P"):
        return None
    levels = numbers_of(picture)
    greatest, colours = levels.max(initial=0), picture.getpalette() or [0] * 3 + [255] * 3
    if greatest <= 1 and sum(colours[3:6]) > sum(colours[:3]):
        ones: np.ndarray[Any, np.dtype[np.bool_]] = levels == 1
        return ones
    return np.greater_equal(levels, 128) if deep and greatest < 256 else None


def _light(picture: Image.Image) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the pixels of an RGB picture that are light, (H, W). Raises ValueError for colours, and for low levels."""
    light, top = np.empty((picture.height, picture.width), bool), 0
    for box in boxes(picture.size):
        red, green, blue = (np.asarray(channel) for channel in picture.crop(box).split())
        greatest, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
        if (greatest - least).max(initial=0) > COLOURFUL:
            raise ValueError("it has colours; a mask is black and white")
        top = max(top, int(greatest.max(initial=0)))
        light[box[1] : box[3]] = green >= 128
    if 1 < top < 128:
        raise ValueError(f"its levels end at {top}; a mask has 0 and 1, or 0 and 255")
    return light


def _distinct(number: int) -> Colour:
    """Return a colour for a class: black for 0, then hues at the golden ratio, in three shades."""
    if number == 0:
        return 0, 0, 0
    saturation, brightness = ((1.0, 1.0), (0.6, 0.9), (0.8, 0.6))[number % 3]
    red, green, blue = colorsys.hsv_to_rgb(number * 0.61803398875 % 1, saturation, brightness)
    return round(255 * red), round(255 * green), round(255 * blue)


def _without_loss(value: Image.Image, suffix: str) -> bytes:
    if suffix in (".jpg", ".jpeg", ".webp"):
        raise ValueError(f"a {suffix} would change ids; name a .png")
    if value.mode.startswith("I") and (suffix == ".bmp" or (suffix == ".png" and np.asarray(value).max() > 65535)):
        raise ValueError(f"a {suffix} cannot hold ids beyond {255 if suffix == '.bmp' else 65535}; name a .tif")
    file = io.BytesIO()
    value.save(file, Image.registered_extensions()[suffix])
    return file.getvalue()
