"""The format of measurements in bands, such as those of a satellite, at their own depth."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.colours import numbers_of
from i2i_core.data.decoding.files import decode_numbers, deep_colours
from i2i_core.data.decoding.kinds import MAX_PIXELS
from i2i_core.data.decoding.tiff_parts import refuse_empty
from i2i_core.data.decoding.tiffs import ORIENTATION, kind_of_tiff, turned, why_undecoded
from i2i_core.data.formats.numbers import check_range
from i2i_core.disk.unknown import open_regular
from i2i_core.errors import PluginError
from i2i_core.interfaces import WHOLE, Box, Size

Array = np.ndarray[Any, Any]
"""Numbers of shape (H, W, C)."""
MOST_CHANNELS = 2**16
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first bytes of a TIFF."""


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Rasters of any number of channels and any depth: TIFF, PNG with up to 16 bits, or NumPy arrays (.npy).

    Numbers of `range` are scaled to [-1, 1], (channels, H, W), and resized bilinearly. Results are written at `depth`.
    TIFF needs the extra `raster`; places on the earth (GeoTIFF) are not written.

    channels: number of channels.
    range: least and greatest number of the whole data set. Files with other numbers are refused.
    clip: clip other numbers to the range instead.
    depth: type of the numbers in the files of results; auto is uint16 if that has 256 or more numbers of the range,
        else float32.
    shown: the channels, from 0, that people see as red, green and blue, or one channel; default: the first three.
    """

    channels: PositiveInt
    range: tuple[float, float]
    clip: bool = False
    depth: Literal["auto", "uint8", "uint16", "int16", "float32"] = "auto"
    shown: tuple[int, ...] | None = None

    kind: ClassVar = np.ndarray
    suffixes: ClassVar = (".tif", ".tiff", ".npy", ".png")
    limits: ClassVar = (-1.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.range
        check_range(low, high)
        if self.channels > MOST_CHANNELS:
            raise ValueError(f"a raster has at most {MOST_CHANNELS:,} channels, not {self.channels:,}")
        if self.depth == "auto":
            fits = _holds("uint16", low, high) and high - low >= 255
            object.__setattr__(self, "depth", "uint16" if fits else "float32")
        elif not _holds(self.depth, low, high):
            raise ValueError(f"{self.depth} cannot hold the range {low:g} to {high:g}; choose another depth")
        if self.shown is not None and len(self.shown) not in (1, 3):
            raise ValueError(f"shown names {len(self.shown)} channels; name one, or three for red, green and blue")
        if wrong := [channel for channel in self.shown or () if not 0 <= channel < self.channels]:
            raise ValueError(f"shown names {wrong[0]}; the channels are 0 to {self.channels - 1}")

    @BUDGET.turn()
    def read(self, path: Path) -> Array:
        return self.converted(_read(path))

    def converted(self, array: Array) -> Array:
        """Check the channels and numbers of an array (H, W) or (H, W, C)."""
        array = array[..., None] if array.ndim == 2 else array
        if array.ndim != 3 or array.shape[2] != self.channels or not array.size:
            raise ValueError(f"its shape is {array.shape}, and it should be (height, width, {self.channels})")
        if array.dtype.kind not in "buif":
            raise ValueError(f"its numbers have the type {array.dtype}; save whole numbers or floats")
        array = array.astype(np.float32) if array.dtype == np.float16 else array  # which may not hold the range
        (low, high), least, greatest = self.range, array.min(), array.max()
        if low <= least and greatest <= high:  # false for NaN
            return array
        if self.clip:
            return np.nan_to_num(array, nan=low).clip(low, high)
        outside = np.count_nonzero(~((array >= low) & (array <= high)))
        found = f"least {least:g}, greatest {greatest:g}"
        if lacking := np.count_nonzero(array != array):
            found = f"{lacking:,} of them NaN"
        raise ValueError(
            f"{outside:,} numbers are not in the range {low:g} to {high:g} ({found}); correct them or the recipe's "
            f"range, or set clip: true there"
        )

    def fit(self, value: Array, size: Size, box: Box = WHOLE, flip: bool = False) -> Tensor:
        """Return the numbers as float32, (channels, H, W)."""
        height, width = value.shape[:2]
        left, top, right, bottom = (round(share * side) for share, side in zip(box, (width, height) * 2, strict=True))
        left, top = min(left, width - 1), min(top, height - 1)
        part = value[top : max(bottom, top + 1), left : max(right, left + 1)].astype(np.float32)
        fitted = torch.from_numpy(part).permute(2, 0, 1)  # its channels stay innermost, which is faster to resize
        if fitted.shape[1:] != size:
            fitted = self.resize(fitted[None], size)[0]
        return (fitted.flip(2) if flip else fitted).contiguous()

    def resize(self, fitted: Tensor, size: Size) -> Tensor:
        return F.interpolate(fitted, size, mode="bilinear", antialias=True)

    def encode(self, fitted: Tensor, dtype: torch.dtype) -> Tensor:
        low, high = self.range
        scale = 2 / (high - low)
        return torch.add(torch.tensor(-1 - scale * low, dtype=dtype), fitted.to(dtype), alpha=scale)

    def decode(self, x: Tensor) -> Array:
        low, high = self.range
        numbers = x.double().clamp(-1, 1).add(1).mul((high - low) / 2).add(low).permute(1, 2, 0).cpu().numpy()
        return (numbers if self.depth == "float32" else numbers.round()).astype(self.depth)

    def scale(self, value: Array, size: Size) -> Array:
        numbers = torch.from_numpy(value.astype(np.float32).transpose(2, 0, 1).copy())[None]
        made = F.interpolate(numbers, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
        return (made if self.depth == "float32" else made.round()).astype(self.depth)

    def show(self, value: Array) -> Image.Image:
        low, high = self.range
        channels = self.shown or ((0, 1, 2) if self.channels >= 3 else (0,))
        numbers = (value[..., list(channels)].astype(np.float64) - low) / (high - low)
        pixels = (numbers * 255).round().clip(0, 255).astype(np.uint8)
        return Image.fromarray(pixels.repeat(3, axis=2) if len(channels) == 1 else pixels)

    def file(self, value: Array, suffix: str) -> bytes:
        file = io.BytesIO()
        if suffix == ".npy":
            np.save(file, value)
        elif suffix == ".png":
            if self.channels != 1 or self.depth not in ("uint8", "uint16"):
                raise ValueError(f"a .png cannot hold {self.channels} channels of {self.depth}; name a .tif or .npy")
            Image.fromarray(value[..., 0]).save(file, "PNG")
        else:
            one = self.channels == 1  # which has no order of channels
            plane = value[..., 0] if one else value
            tiff_library().imwrite(file, plane, photometric="minisblack", planarconfig=None if one else "contig")
        return file.getvalue()

    def example(self, size: Size, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.uniform(*self.range, size=(self.channels, *size)).astype(np.float32))


def _read(path: Path) -> Array:
    """Read the numbers of a file as they are, (H, W) or (H, W, C)."""
    with open_regular(path) as file:
        start = file.read(6)
    if path.suffix.lower() == ".npy" or start == b"\x93NUMPY":
        if start != b"\x93NUMPY":
            raise ValueError("not a NumPy array of one .npy")
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)  # checks the shape against the size of the file
        _make_room(mapped.shape[:2])
        return np.array(mapped)
    if start[:4] in TIFF:
        return _read_tiff(path)
    if (deep := deep_colours(path)) is not None:
        return deep
    picture = decode_numbers(path)
    return numbers_of(picture.convert("RGB") if picture.mode == "P" else picture)


def _read_tiff(path: Path) -> Array:
    with open_regular(path) as stream:
        kind = kind_of_tiff(stream)
    with _tiff(path) as file:
        series = file.series[0]
        _make_room([side for side, axis in zip(series.shape, series.axes, strict=True) if axis in "YX"])
        for page in filter(None, series.pages):
            refuse_empty(page.dataoffsets, page.databytecounts)
        try:
            array = series.asarray()
        except Exception as error:  # a decoder may raise anything on a damaged file
            raise ValueError(f"a TIFF of {kind}{why_undecoded(error, kind.cut)}") from error
        axes = [place for place, axis in enumerate(series.axes) if axis in "YX"]
        others = [place for place in range(array.ndim) if place not in axes]
        array = np.asarray(array.transpose(*axes, *others).reshape(*(array.shape[place] for place in axes), -1))
        return turned(array, file.pages.first.tags.valueof(ORIENTATION, 1))


def _make_room(sides: Sequence[int]) -> None:
    """Raise ValueError for more pixels than a picture may have, before they are decoded; wait for room for others."""
    if (pixels := math.prod(sides)) > MAX_PIXELS:
        raise ValueError(f"{' x '.join(map(str, sides[::-1]))} pixels are more than {MAX_PIXELS:,}")
    BUDGET.take(pixels)


def _holds(depth: str, low: float, high: float) -> bool:
    """Return True if a type of numbers has both limits of a range."""
    if depth == "float32":
        return True
    kind = np.iinfo(depth)
    return kind.min <= low and high <= kind.max and float(low).is_integer() and float(high).is_integer()


def _tiff(path: Path) -> Any:
    """Open a TIFF, and find its pages. Raises ValueError if that fails."""
    library = tiff_library()
    try:
        file = library.TiffFile(path)
    except (library.TiffFileError, struct.error):
        raise ValueError("not a TIFF, or a damaged one") from None
    if not file.series:
        file.close()
        raise ValueError("a TIFF without a page")
    return file


def tiff_library() -> Any:
    if find_spec("tifffile") is None:
        raise PluginError('TIFF files of the format raster need tifffile: pip install "i2i-gan[raster]"')
    import tifffile

    return tifffile
