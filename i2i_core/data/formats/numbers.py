"""The format of fields that are no pictures: named numbers, such as attributes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from i2i_core.disk.unknown import read_text
from i2i_core.errors import did_you_mean
from i2i_core.interfaces import WHOLE, Box, Size

Given = Mapping[str, float]
MOST_BYTES = 2**20
"""Most bytes of a file of numbers."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Named numbers, such as attributes or an age, scaled to [0, 1], (K,).

    names: names of the K numbers; a table's `columns` by default.
    range: the numbers that become 0 and 1, for example [-1, 1] for attributes that are −1 or 1. Others are refused.
    """

    names: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 1.0)

    kind: ClassVar = Mapping
    suffixes: ClassVar = (".json",)
    limits: ClassVar = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_range(*self.range)
        if twice := [name for n, name in enumerate(self.names) if name in self.names[:n]]:
            raise ValueError(f"{twice[0]} is named twice; name each number once")

    def read(self, path: Path) -> Given:
        try:
            return self.converted(json.loads(read_text(path, MOST_BYTES)))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from None

    def parse(self, text: str) -> Given:
        """Read numbers from a text such as "Smiling=1,Male=0". Raises ValueError."""
        pairs = [pair.partition("=")[::2] for pair in text.split(",")]
        try:
            numbers = {name.strip(): float(number) for name, number in pairs}
        except ValueError:
            numbers = {}
        if len(numbers) < len(pairs):
            written = ",".join(f"{name}=NUMBER" for name in self.names)
            raise ValueError(f"{text!r} should be written as {written}")
        return self.converted(numbers)

    def converted(self, numbers: Given) -> Given:
        """Check that each name has a number in the range."""
        low, high = self.range
        if not isinstance(numbers, Mapping):
            raise ValueError(f"it should be a mapping from {', '.join(self.names)} to numbers")
        for name in map(str, numbers):
            if name not in self.names:
                raise ValueError(
                    f"there is no number {name} ({did_you_mean(name, self.names) or 'the format names none'})"
                )
        if lacking := [name for name in self.names if name not in numbers]:
            raise ValueError(f"the number {lacking[0]} is missing; name all of {', '.join(self.names)}")
        for name, number in numbers.items():
            if not isinstance(number, int | float | np.number):
                raise ValueError(f"{name} is {number!r}, which is not a number")
            if not low <= number <= high:
                raise ValueError(f"{name} is {number:g}, which is not in the range {low:g} to {high:g}")
        return {name: float(numbers[name]) for name in self.names}

    def fit(self, value: Given, size: Size, box: Box = WHOLE, flip: bool = False) -> Tensor:
        return torch.tensor([value[name] for name in self.names])

    def resize(self, fitted: Tensor, size: Size) -> Tensor:
        return fitted

    def encode(self, fitted: Tensor, dtype: torch.dtype) -> Tensor:
        low, high = self.range
        return fitted.to(dtype).sub(low).div(high - low)

    def decode(self, x: Tensor) -> Given:
        low, high = self.range
        numbers = x.double().clamp(0, 1).mul(high - low).add(low).tolist()
        return dict(zip(self.names, numbers, strict=True))

    def scale(self, value: Given, size: Size) -> Given:
        return value

    def show(self, value: Given) -> Image.Image:
        text = "\n".join(f"{name} {number:.3g}" for name, number in value.items())
        font = ImageFont.load_default(12)
        left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font)
        picture = Image.new("RGB", (round(right - left) + 8, round(bottom - top) + 8), "white")
        ImageDraw.Draw(picture).multiline_text((4 - left, 4 - top), text, "black", font)
        return picture

    def file(self, value: Given, suffix: str) -> bytes:
        return json.dumps(value, indent=1).encode()

    def example(self, size: Size, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.uniform(*self.range, size=len(self.names)).astype(np.float32))


def check_range(low: float, high: float) -> None:
    """Raise ValueError unless two finite numbers are in order."""
    if not low < high:
        raise ValueError(f"the range {low:g} to {high:g} is empty; write the smaller number first")
    if not math.isfinite(high - low):
        raise ValueError(f"the range {low:g} to {high:g} is not finite; write numbers")
