"""A data set of pictures and their reductions, made of any data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from i2i_core.interfaces import Dataset, Format, RecordDataset, Size, Value

Scale = Annotated[int, Field(ge=2)]


class Reduced:
    """Paired data set of pictures and their bicubic reductions (Wang et al. 2018, section 4.1).

    Domains: `large`, the pictures of another data set in all its domains, in RGB; and `small`, the same reduced by the
    factor `scale`. Large pictures lose up to `scale` - 1 pixels at the right and bottom, so that pixels of both fit.

    image_size: height and width of large pictures in pixels; small ones are fitted to 1 / `scale` of it.
    photos: the data set of the pictures, for example {use: image_folders, root: photos}.
    scale: the factor; the paper: 4.

    Raises ValueError if `image_size` is not a multiple of `scale`.
    """

    domains = ("small", "large")
    paired = True
    formats: ClassVar[Mapping[str, Format]] = {}
    fields: ClassVar[Mapping[str, Format]] = {}

    def __init__(self, *, image_size: tuple[int, int], photos: Dataset | RecordDataset, scale: Scale = 4) -> None:
        if image_size[0] % scale or image_size[1] % scale:
            raise ValueError(f"image_size {image_size[0]} x {image_size[1]} is not a multiple of scale, {scale}")
        self.photos, self.scale = photos, scale
        self.sizes: Mapping[str, Size] = {"small": (image_size[0] // scale, image_size[1] // scale)}
        self.places = [(y, index) for y in range(len(photos.domains)) for index in range(photos.count(y))]

    def count(self, domain: int) -> int:
        return len(self.places)

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        large = self._photo(*self.places[index], rng)
        width, height = (max(side // self.scale, 1) for side in large.size)
        large = large.crop((0, 0, width * self.scale, height * self.scale))
        return {"x": large if domain else large.resize((width, height), Image.Resampling.BICUBIC)}

    def _photo(self, domain: int, index: int, rng: np.random.Generator) -> Image.Image:
        if isinstance(self.photos, RecordDataset):
            picture: Image.Image = self.photos.record(domain, index, ["x"], rng)["x"]
            return picture.convert("RGB")
        return self.photos.picture(domain, index)
