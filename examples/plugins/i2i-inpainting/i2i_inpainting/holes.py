"""A data set of holes around any other data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from i2i_core.data.formats.labels import Mask
from i2i_core.interfaces import Dataset, Format, RecordDataset, Size, Value

Share = Annotated[float, Field(gt=0, le=1)]
HOLE = "hole"


class Holes:
    """Pictures of another data set, each with the mask of a random rectangular hole in the field `hole`.

    A picture gets another hole each time that it is drawn in training. A held-out picture always has the same hole.

    photos: the data set of the pictures, for example {use: image_folders, root: photos}.
    size: least and greatest height of a hole as a share of the picture's, and the same for its width.

    Raises ValueError if the numbers of `size` are in the wrong order, or if `photos` has a field `hole` of its own.
    """

    fields: Mapping[str, Format] = {HOLE: Mask()}

    def __init__(
        self, *, image_size: tuple[int, int], photos: Dataset | RecordDataset, size: tuple[Share, Share] = (0.375, 0.5)
    ) -> None:
        if size[0] > size[1]:
            raise ValueError(f"size is {size[0]:g} to {size[1]:g}; write the smaller number first")
        self.photos, self.image_size, self.size = photos, image_size, size
        self.domains, self.paired = tuple(photos.domains), photos.paired
        self.formats: Mapping[str, Format] = {}
        self.sizes: Mapping[str, Size] = {}
        if isinstance(photos, RecordDataset):
            if HOLE in photos.fields:
                raise ValueError(f"photos has a field {HOLE} of its own; rename it")
            self.formats, self.sizes = photos.formats, photos.sizes
            self.fields = {**photos.fields, **Holes.fields}

    def count(self, domain: int) -> int:
        return self.photos.count(domain)

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        """Return fields of a record, with a hole that is drawn from `rng`."""
        found: dict[str, Value] = {HOLE: self._hole(self.sizes.get(self.domains[domain], self.image_size), rng)}
        rest = [field for field in wanted if field != HOLE]
        if isinstance(self.photos, RecordDataset):
            found |= self.photos.record(domain, index, rest, rng) if rest else {}
        elif rest:
            found["x"] = self.photos.picture(domain, index)
        return {field: found[field] for field in wanted}

    def _hole(self, size: Size, rng: np.random.Generator) -> Image.Image:
        """Draw a mask of (H, W), 255 in the hole. A drawing takes four random numbers, whatever the sizes."""
        mask = np.zeros(size, np.uint8)
        slices = []
        for side, length, place in zip(size, rng.uniform(*self.size, size=2), rng.random(2), strict=True):
            pixels = max(1, round(side * length))
            start = int(place * (side - pixels + 1))
            slices.append(slice(start, start + pixels))
        mask[tuple(slices)] = 255
        return Image.fromarray(mask)
