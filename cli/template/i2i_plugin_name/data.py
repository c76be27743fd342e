"""A data set says how many pictures a domain has and gives one; i2i draws, augments and batches them."""

from __future__ import annotations

import random

import PIL.Image
import PIL.ImageColor
import PIL.ImageDraw
from pydantic import NonNegativeInt, PositiveInt

SIDE = 32


class Discs:
    """Three discs on white, 32 px, drawn when asked for: the same ones in every domain, in the domain's colour.

    domains: names of colours, at least two; pictures: how many there are of each; seed: another one gives others.
    Raises ValueError for a colour that Pillow does not know.
    """

    paired = True

    def __init__(
        self,
        *,
        domains: tuple[str, ...] = ("crimson", "seagreen", "royalblue"),
        pictures: PositiveInt = 100,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.colours = [PIL.ImageColor.getrgb(name) for name in domains]
        self.domains, self.pictures, self.seed = domains, pictures, seed

    def count(self, domain: int) -> int:
        return self.pictures

    def picture(self, domain: int, index: int) -> PIL.Image.Image:
        where = random.Random(f"{self.seed}/{index}")
        picture = PIL.Image.new("RGB", (SIDE, SIDE), "white")
        for _ in range(3):
            centre, radius = (where.uniform(0, SIDE), where.uniform(0, SIDE)), where.uniform(3, 8)
            PIL.ImageDraw.Draw(picture).circle(centre, radius, fill=self.colours[domain])
        return picture
