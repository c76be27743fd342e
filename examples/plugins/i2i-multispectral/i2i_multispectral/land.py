"""A drawn data set of land cover: reflectance in four bands, and RGB pictures of the visible ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from i2i_core.data.formats.raster import Raster
from i2i_core.interfaces import Format, Size, Value

Array = np.ndarray[Any, Any]
BANDS = ("blue", "green", "red", "near infrared")
COVERS = {
    "water": (650, 520, 330, 120),
    "forest": (280, 480, 300, 2900),
    "crop": (420, 850, 520, 4300),
    "meadow": (560, 980, 800, 3200),
    "soil": (1000, 1400, 1850, 2450),
    "town": (1500, 1650, 1800, 2100),
    "turf": (420, 850, 520, 900),
}
"""Mean reflectance of each land cover in the four bands, times 10,000. Artificial turf has the colour of crop."""
RANGE = (0, 6000)
"""Least and greatest number of a raster: reflectance times 10,000."""
NOISE = 40
"""Standard deviation of the noise of each band and pixel."""
WHITE = 3000
"""Reflectance, times 10,000, that is white in RGB pictures; darker values get the gamma 1.8."""
COUNTS = {"train": 2000, "val": 100}


class Land:
    """Paired data set of drawn land: rasters of four bands with 16 bits, and RGB pictures.

    Domains: `rgb`, pictures of the visible bands in 8 bits, and `bands`, reflectance times 10,000 in blue, green, red
    and near infrared, from 0 to 6000. A land cover determines its mean in each band. Each field is darker or brighter
    than the mean, in all bands alike, and each pixel has texture, in all bands alike, and noise in each band. Near
    infrared follows from the land cover, and thus from colour and shape: artificial turf is round, has the colour of
    crop, and is dark in near infrared.

    image_size: height and width in pixels. split: "train" (2,000 places) or "val" (100 others).
    """

    domains = ("rgb", "bands")
    paired = True
    formats: Mapping[str, Format] = {"bands": Raster(channels=len(BANDS), range=RANGE, shown=(3, 2, 1))}
    sizes: ClassVar[Mapping[str, Size]] = {}
    fields: ClassVar[Mapping[str, Format]] = {}

    def __init__(self, *, image_size: tuple[int, int], split: Literal["train", "val"] = "train") -> None:
        self.image_size, self.split = image_size, split

    def count(self, domain: int) -> int:
        return COUNTS[self.split]

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        own = np.random.default_rng((list(COUNTS).index(self.split), index))
        bands = measured(covers(self.image_size, own), own)
        return {"x": bands if domain == 1 else developed(bands)}


def covers(size: Size, rng: np.random.Generator) -> Array:
    """Draw the land: the number of the cover, plus 10 for each field so that fields differ, int (H, W)."""
    names, shape = list(COVERS), np.array(size)
    water, forest, crop, meadow, soil, town, turf = range(len(names))
    y, x = np.mgrid[: size[0], : size[1]] / np.array([[[size[0]]], [[size[1]]]])
    angle = rng.uniform(0, np.pi)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    fields = (np.floor(u * rng.uniform(3, 6)) * 7 + np.floor(v * rng.uniform(2, 4))).astype(int)
    fields -= fields.min()
    land = rng.choice([crop, meadow, soil], fields.max() + 1)[fields] + 10 * fields
    land[_smooth(size, rng) > 0.9] = forest
    for _ in range(rng.integers(0, 3)):  # towns: blocks between streets
        corner, side = rng.uniform(0, 0.7, 2), rng.uniform(0.15, 0.35)
        inside = (abs(y - corner[0] - side / 2) < side / 2) & (abs(x - corner[1] - side / 2) < side / 2)
        streets = ((y * shape[0]).astype(int) % 7 == 0) | ((x * shape[1]).astype(int) % 9 == 0)
        land[inside] = town
        land[inside & ~streets & (rng.random(size) < 0.9)] = town + 10
    river = _smooth(size, rng)
    land[(abs(river) < 0.12) if rng.random() < 0.5 else (river > 1.4)] = water
    for _ in range(rng.integers(1, 4)):
        cy, cx = rng.uniform(0, 1, 2)
        land[(y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(0.06, 0.12) ** 2] = turf
    return np.asarray(land)


def measured(land: Array, rng: np.random.Generator) -> Array:
    """Measure the reflectance of land as `covers` draws it, times 10,000, uint16 (H, W, 4)."""
    means = np.array(list(COVERS.values()), float)[land % 10]
    brightness = rng.normal(1, 0.1, land.max() + 1).clip(0.7, 1.3)[land]
    texture = rng.normal(1, 0.05, land.shape)
    values = means * (brightness * texture)[..., None] + rng.normal(0, NOISE, means.shape)
    return np.asarray(values.round().clip(*RANGE).astype(np.uint16))


def developed(bands: Array) -> Image.Image:
    """Return the RGB picture of a raster, with 8 bits."""
    visible = bands[..., [2, 1, 0]].astype(float) / WHITE
    return Image.fromarray((255 * visible.clip(0, 1) ** (1 / 1.8)).round().astype(np.uint8))


def _smooth(size: Size, rng: np.random.Generator) -> Array:
    """A sum of four waves of random directions, with a standard deviation of about 1, (H, W)."""
    y, x = np.mgrid[: size[0], : size[1]] / np.array([[[size[0]]], [[size[1]]]])
    waves = [np.sin(rng.normal(0, 6) * x + rng.normal(0, 6) * y + rng.uniform(0, 2 * np.pi)) for _ in range(4)]
    return np.asarray(sum(waves) / np.sqrt(2))
