"""The formats of photographs and drawings: RGB and grey."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from i2i_core.data.decoding.colours import as_rgb
from i2i_core.data.decoding.files import open_picture
from i2i_core.data.pictures import SUFFIXES, picture_file
from i2i_core.interfaces import WHOLE, Box, Size


@dataclass(frozen=True)
class Picture:
    """RGB pictures with values in [-1, 1], (3, H, W); resized bilinearly.

    Transparent parts become white, more than 8 bits are scaled to 8, colour profiles are converted to sRGB, and
    pictures are rotated as their EXIF data says. Of several pages or frames, the first is read.
    """

    kind: ClassVar = Image.Image
    suffixes: ClassVar = SUFFIXES
    limits: ClassVar = (-1.0, 1.0)
    mode: ClassVar = "RGB"

    def read(self, path: Path) -> Image.Image:
        return self.converted(open_picture(path))

    def converted(self, picture: Image.Image) -> Image.Image:
        """Convert a decoded picture of any mode."""
        picture = as_rgb(picture)
        return picture if picture.mode == self.mode else picture.convert(self.mode)

    def fit(self, value: Image.Image, size: Size, box: Box = WHOLE, flip: bool = False) -> Tensor:
        """Crop a picture to `box`, resize it to (H, W) and optionally mirror it, as uint8 (C, H, W)."""
        (height, width), (left, top, right, bottom) = size, box
        pixels = (left * value.width, top * value.height, right * value.width, bottom * value.height)
        picture = value.resize((width, height), Image.Resampling.BILINEAR, box=pixels)
        if flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1).copy())

    def resize(self, fitted: Tensor, size: Size) -> Tensor:
        if fitted.device.type != "cpu":
            fitted = fitted.float()  # F.interpolate resizes uint8 on a CPU only, where it is faster
        return F.interpolate(fitted, size, mode="bilinear", antialias=True)

    def encode(self, fitted: Tensor, dtype: torch.dtype) -> Tensor:
        """Scale from [0, 255] to [-1, 1]."""
        x = torch.empty(fitted.shape, dtype=dtype, device=fitted.device)  # also in the layout of channels first
        return x.copy_(fitted).div_(127.5).sub_(1.0)

    def decode(self, x: Tensor) -> Image.Image:
        """Return a tensor (C, H, W) as a picture; numbers beyond [-1, 1] are clipped."""
        pixels = x.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)

    def scale(self, value: Image.Image, size: Size) -> Image.Image:
        return value.resize(size[::-1], Image.Resampling.BICUBIC)

    def show(self, value: Image.Image) -> Image.Image:
        return value if value.mode == "RGB" else value.convert("RGB")

    def file(self, value: Image.Image, suffix: str) -> bytes:
        return picture_file(value, suffix)

    def example(self, size: Size, rng: np.random.Generator) -> Tensor:
        channels = len(self.mode) if self.mode == "RGB" else 1
        return torch.from_numpy(rng.integers(256, size=(channels, *size), dtype=np.uint8))


@dataclass(frozen=True)
class Grey(Picture):
    """Grey pictures with values in [-1, 1], (1, H, W); colour pictures are converted to their luminance."""

    mode: ClassVar = "L"
