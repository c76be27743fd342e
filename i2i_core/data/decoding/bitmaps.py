"""BMPs with palettes, of which Pillow reads some wrongly: grey ones, and 4 bits with run-length coding."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import numpy as np
from PIL import ImageFile, ImagePalette

RLE4 = 2
"""The number of the coding in the header of a BMP."""


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


def unroll(file: ImageFile.ImageFile, stream: BinaryIO) -> None:
    """Decode the pixels of a BMP whose header Pillow has read, and let it load them. Raises ValueError if it is cut."""
    (_, box, offset, _), *_ = file.tile
    stream.seek(offset)
    indices = _indices(stream.read(), file.width, file.height)
    file.fp, file.filename = io.BytesIO(indices), ""  # by whose name Pillow would map the file
    file.tile = [ImageFile._Tile("raw", box, 0, (file.mode, 0, -1))]


def _indices(data: bytes, width: int, height: int) -> bytes:
    """Return the indices of all pixels, from the lowest row on."""
    indices = np.zeros((height, width), np.uint8)
    x = y = at = 0
    while y < height:
        if at + 2 > len(data):
            raise ValueError("cut short")
        count, value = data[at], data[at + 1]
        at += 2
        if count:  # a run of two alternating indices
            part = np.resize(np.array([value >> 4, value & 15], np.uint8), count)
        elif value == 0:  # the end of a row
            x, y = 0, y + 1
            continue
        elif value == 1:  # the end of the picture
            break
        elif value == 2:  # a move to the right and upwards
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        else:  # indices as they are, in an even number of bytes
            pairs = np.frombuffer(data, np.uint8, (value + 1) // 2, at)
            part = np.stack([pairs >> 4, pairs & 15], 1).ravel()[:value]
            at += (value + 3) // 4 * 2
        part = part[: max(0, width - x)]
        indices[y, x : x + len(part)] = part
        x += len(part)
    return indices.tobytes()
