"""Data set: a class with `domains`, `count` and `picture`. i2i samples, augments and batches the pictures."""

from __future__ import annotations

import random

import PIL.Image
import PIL.ImageColor
import PIL.ImageDraw
from pydantic import NonNegativeInt, PositiveInt

SIDE = 32


class Discs:
    """Paired data set of three discs on white: the same discs in each domain, in the colour of the domain.

    Pictures are RGB, 32 x 32 pixels, and are drawn on demand.

    domains: names of the domains, which are names of colours, at least two.
    pictures: number of pictures in each domain.
    seed: seed of the positions and radii.

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
        """Number of pictures of domain number `domain`."""
        return self.pictures

    def picture(self, domain: int, index: int) -> PIL.Image.Image:
        """Return picture number `index` of domain number `domain`."""
        where = random.Random(f"{self.seed}/{index}")
        picture = PIL.Image.new("RGB", (SIDE, SIDE), "white")
        for _ in range(3):
            centre, radius = (where.uniform(0, SIDE), where.uniform(0, SIDE)), where.uniform(3, 8)
            PIL.ImageDraw.Draw(picture).circle(centre, radius, fill=self.colours[domain])
        return picture
