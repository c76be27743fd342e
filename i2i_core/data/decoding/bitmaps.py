"""BMPs with palettes, of which Pillow reads some wrongly: grey ones, and those with run-length coding."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import numpy as np
from PIL import ImageFile, ImagePalette

RLE8, RLE4 = 1, 2
"""The numbers of the codings in the header of a BMP."""


def index(file: ImageFile.ImageFile, stream: BinaryIO) -> None:
    """Let Pillow load indices of 4 or 8 bits where it takes those of a grey palette for levels of another depth."""
    stream.seek(14)
    header = stream.read(16)
    (bits,) = struct.unpack_from("<H", header, 10 if header[0] == 12 else 14)
    if (file.mode, bits) in (("1", 4), ("1", 8), ("L", 4)):
        levels = (0, 255) if file.mode == "1" else range(16)
        file._mode = "P"
        file.palette = ImagePalette.raw("RGB", bytes(level for level in levels for _ in "RGB"))
        pixels = "P;4" if bits == 4 else "P"
        file.tile = [tile._replace(args=(pixels, *tuple(tile.args or ())[1:])) for tile in file.tile]


def unroll(file: ImageFile.ImageFile, stream: BinaryIO, bits: int) -> None:
    """Decode the pixels of a BMP whose header Pillow has read, and let it load them. Raises ValueError if it is cut.

    bits: 4 or 8 bits for each pixel.
    """
    (_, box, offset, _), *_ = file.tile
    stream.seek(offset)
    data = stream.read(4 * file.width * file.height + 2**16)  # more than any coding of them takes
    if len(data) < file.height:  # each row takes a byte or more
        raise ValueError("cut short")
    try:
        indices = _indices(data, file.width, file.height, bits)
    except (IndexError, ValueError) as error:
        raise ValueError("cut short") from error
    file.fp, file.filename = io.BytesIO(indices), ""  # by whose name Pillow would map the file
    file.tile = [ImageFile._Tile("raw", box, 0, (file.mode, 0, -1))]


def _indices(data: bytes, width: int, height: int, bits: int) -> bytes:
    """Return the indices of all pixels, from the lowest row on. Raises IndexError or ValueError at the end of data."""
    indices = np.zeros((height, width), np.uint8)
    x = y = at = 0
    while y < height:
        count, value = data[at], data[at + 1]
        at += 2
        if count:  # a run of one index, or of two alternating ones
            row = indices[y, x : x + count]
            row[::2], row[1::2] = (value, value) if bits == 8 else (value >> 4, value & 15)
            x += count
        elif value == 0:  # the end of a row
            x, y = 0, y + 1
        elif value == 1:  # the end of the picture
            break
        elif value == 2:  # a move to the right and upwards
            x, y, at = x + data[at], y + data[at + 1], at + 2
        else:  # indices as they are, in an even number of bytes
            stored = (value * bits + 7) // 8
            part = np.frombuffer(data, np.uint8, stored, at)
            part = part if bits == 8 else np.stack([part >> 4, part & 15], 1).ravel()
            indices[y, x : x + value] = part[: min(value, max(0, width - x))]
            x, at = x + value, at + stored + stored % 2
    return indices.tobytes()
