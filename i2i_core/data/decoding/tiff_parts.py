"""Strips and tiles of a TIFF by its tags: whether all of them are stored in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, BITS, COMPRESSION, STRIPS, SAMPLES, ROWS, STRIP_SIZES = 256, 257, 258, 259, 273, 277, 278, 279
PLANAR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES = 284, 322, 323, 324, 325
NAMES = {
    WIDTH: "ImageWidth", HEIGHT: "ImageLength", BITS: "BitsPerSample", SAMPLES: "SamplesPerPixel",
    ROWS: "RowsPerStrip", TILE_WIDTH: "TileWidth", TILE_HEIGHT: "TileLength",
}  # fmt: skip
OLD_JPEG = 6
"""The compression whose pixels stand behind tags of their own."""


def refuse_holes(tags: Mapping[int, Any], size: int) -> bool:
    """Raise ValueError for tags by which pixels are missing; else return True if the last part may be cut.

    size: the number of bytes of the file.
    """
    for tag in (WIDTH, HEIGHT):
        if tag not in tags:
            raise ValueError(f"a damaged TIFF: it has no {NAMES[tag]}")
    for tag, name in NAMES.items():
        if 0 in _numbers(tags.get(tag, 1)):
            raise ValueError(f"a damaged TIFF: its {name} is 0")
    if tags.get(COMPRESSION, 1) == OLD_JPEG:
        return False
    tiled = TILES in tags
    offsets, sizes = (_numbers(tags.get(tag, ())) for tag in ((TILES, TILE_SIZES) if tiled else (STRIPS, STRIP_SIZES)))
    needed = _needed(tags, tiled)
    if not offsets or (len(sizes) < len(offsets) and needed > 1):
        raise ValueError("a damaged TIFF: its tags do not say where its pixels are")
    if len(offsets) < needed:
        raise ValueError(f"a damaged TIFF: it has {len(offsets)} of its {needed} strips or tiles")
    offsets, sizes = offsets[:needed], sizes[:needed] or [size - offsets[0]]
    refuse_empty(offsets, sizes)
    if max(offsets) >= size:
        raise ValueError("cut short")
    return any(offset + count > size for offset, count in zip(offsets, sizes, strict=True))


def refuse_empty(offsets: Sequence[int], sizes: Sequence[int]) -> None:
    """Raise ValueError for strips or tiles without bytes, which decoders fill with black."""
    if empty := sum(not offset or not size for offset, size in zip(offsets, sizes, strict=False)):
        raise ValueError(
            f"{empty} of its {len(offsets)} strips or tiles are empty: a copy that failed, or a sparse TIFF, whose "
            f"empty tiles mean no data; write all its pixels, with GDAL by SPARSE_OK=FALSE"
        )


def _needed(tags: Mapping[int, Any], tiled: bool) -> int:
    """Return the number of strips or tiles that hold all pixels."""
    width, height = int(tags[WIDTH]), int(tags[HEIGHT])
    across, down = (tags.get(TILE_WIDTH, width), tags.get(TILE_HEIGHT, height)) if tiled else (width, tags.get(ROWS))
    planes = int(tags.get(SAMPLES, 1)) if tags.get(PLANAR, 1) == 2 else 1
    return planes * -(-width // int(across)) * -(-height // int(down or height))


def _numbers(value: Any) -> Sequence[int]:
    return tuple(map(int, value)) if isinstance(value, tuple | list) else (int(value),)
