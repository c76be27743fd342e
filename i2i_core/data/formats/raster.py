"""The format of measurements in bands, such as those of a satellite, at their own depth."""

from __future__ import annotations

import io
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

from i2i_core.data.pictures import decode_file
from i2i_core.errors import PluginError
from i2i_core.interfaces import WHOLE, Box, Size

Array = np.ndarray[Any, Any]
"""Numbers of shape (H, W, C)."""


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Rasters of any number of channels and any depth: TIFF, PNG with up to 16 bits, or NumPy arrays (.npy).

    Numbers of `range` are scaled to [-1, 1], (channels, H, W), and resized bilinearly. Results are written at `depth`.
    TIFF needs the extra `raster`; places on the earth (GeoTIFF) are not written.

    channels: number of channels.
    range: least and greatest number of the whole data set. Files with other numbers are refused.
    clip: clip other numbers to the range instead.
    depth: type of the numbers in the files of results.
    shown: the channels, from 0, that people see as red, green and blue, or one channel; default: the first three.
    """

    channels: PositiveInt
    range: tuple[float, float]
    clip: bool = False
    depth: Literal["uint8", "uint16", "int16", "float32"] = "uint16"
    shown: tuple[int, int, int] | tuple[int] | None = None

    kind: ClassVar = np.ndarray
    suffixes: ClassVar = (".tif", ".tiff", ".npy", ".png")
    limits: ClassVar = (-1.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.range
        if not low < high:
            raise ValueError(f"the range {low:g} to {high:g} is empty; write the smaller number first")
        if not self.depth.startswith("float") and not (
            np.iinfo(self.depth).min <= low and high <= np.iinfo(self.depth).max
        ):
            raise ValueError(f"{self.depth} cannot hold the range {low:g} to {high:g}; choose another depth")
        if self.shown is not None and not all(0 <= channel < self.channels for channel in self.shown):
            raise ValueError(f"shown names {max(self.shown)}; the channels are 0 to {self.channels - 1}")

    def read(self, path: Path) -> Array:
        return self.converted(_read(path))

    def converted(self, array: Array) -> Array:
        """Check the channels and numbers of an array (H, W) or (H, W, C)."""
        array = array[..., None] if array.ndim == 2 else array
        if array.ndim != 3 or array.shape[2] != self.channels:
            raise ValueError(f"its shape is {array.shape}, and it should have {self.channels} channels")
        low, high = self.range
        outside = ~((array >= low) & (array <= high))  # true for NaN
        if outside.any():
            if not self.clip:
                raise ValueError(
                    f"{outside.sum():,} numbers are not in the range {low:g} to {high:g} (least {array.min():g}, "
                    f"greatest {array.max():g}); correct range, or set clip: true"
                )
            array = np.nan_to_num(array, nan=low).clip(low, high)
        return array

    def fit(self, value: Array, size: Size, box: Box = WHOLE, flip: bool = False) -> Tensor:
        """Return the numbers as float32, (channels, H, W)."""
        height, width = value.shape[:2]
        left, top, right, bottom = (round(share * side) for share, side in zip(box, (width, height) * 2, strict=True))
        left, top = min(left, width - 1), min(top, height - 1)
        part = value[top : max(bottom, top + 1), left : max(right, left + 1)].astype(np.float32)
        fitted = torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))
        if fitted.shape[1:] != size:
            fitted = self.resize(fitted[None], size)[0]
        return fitted.flip(2) if flip else fitted

    def resize(self, fitted: Tensor, size: Size) -> Tensor:
        return F.interpolate(fitted, size, mode="bilinear", antialias=True)

    def encode(self, fitted: Tensor, dtype: torch.dtype) -> Tensor:
        low, high = self.range
        return fitted.to(dtype, copy=True).sub_(low).mul_(2 / (high - low)).sub_(1)

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
            _tifffile().imwrite(file, value, photometric="minisblack", planarconfig="contig")
        return file.getvalue()

    def example(self, size: Size, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.uniform(*self.range, size=(self.channels, *size)).astype(np.float32))


def _read(path: Path) -> Array:
    """Read the numbers of a file as they are, (H, W) or (H, W, C)."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if suffix not in (".tif", ".tiff"):
        picture = decode_file(path)
        return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    with _tifffile().TiffFile(path) as file:
        series = file.series[0]
        array = series.asarray()
        axes = [place for place, axis in enumerate(series.axes) if axis in "YX"]
        others = [place for place in range(array.ndim) if place not in axes]
        return np.asarray(array.transpose(*axes, *others).reshape(*(array.shape[place] for place in axes), -1))


def _tifffile() -> Any:
    if find_spec("tifffile") is None:
        raise PluginError('TIFF files of the format raster need tifffile: pip install "i2i-gan[raster]"')
    import tifffile

    return tifffile
