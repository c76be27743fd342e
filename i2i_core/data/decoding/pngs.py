"""The chunks of PNGs: their checksums, and what is left of damaged ones."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from i2i_core.data.decoding.kinds import MAX_PIXELS
from i2i_core.data.decoding.png_parts import SIGNATURE
from i2i_core.disk.unknown import open_regular

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced PNG: first column and row, and the steps between them."""
KEPT = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"eXIf")
"""The chunks of a PNG besides its pixels that say how they are shown."""
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by the colour type of a PNG."""


def refuse_damaged(path: Path) -> None:
    """Raise ValueError for a PNG whose pixels have a wrong checksum, which Pillow does not compare.

    The checksum is not compared at each reading of a picture, which would take a tenth longer. Raises OSError for what
    cannot be opened, or is no regular file.
    """
    with open_regular(path) as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return
        while len(head := file.read(8)) == 8 and head[4:].isalpha():
            length = int.from_bytes(head[:4])
            if head[4:] != b"IDAT":
                file.seek(length + 4, io.SEEK_CUR)
                continue
            computed = zlib.crc32(head[4:])
            while length and (part := file.read(min(length, 2**20))):
                computed, length = zlib.crc32(part, computed), length - len(part)
            checksum = file.read(4)
            if len(checksum) == 4 and computed != int.from_bytes(checksum):
                raise ValueError("damaged: a checksum of its pixels is wrong")


def what_is_left(data: bytes) -> bytes:
    """Return a PNG with the rows that can be inflated, and zeros after them, whatever its checksums say."""
    chunks = [(name, bytes(body)) for name, body, _ in _chunks(data)]
    header = chunks[0][1]
    inflate, rows = zlib.decompressobj(), bytearray()
    size = _bytes_of_rows(header)
    packed = b"".join(body for name, body in chunks if name == b"IDAT")
    with suppress(zlib.error):
        for at in range(0, len(packed), 256):  # by small parts: what comes before an error is kept
            rows += inflate.decompress(packed[at : at + 256])
            if len(rows) >= size:
                break
    if not rows:
        raise ValueError("no row of pixels is there")
    kept = [(name, body) for name, body in chunks if name in KEPT]
    kept += [(b"IDAT", zlib.compress(bytes(rows[:size].ljust(size, b"\0")), 1)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in kept
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bytes]]:
    """Return the name, the contents and the checksum of each chunk; the last ones may be cut."""
    at, view = len(SIGNATURE), memoryview(data)
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], view[at + 8 : end], data[end : end + 4]
        at = end + 4


def _bytes_of_rows(header: bytes) -> int:
    """Return the size of all rows of a PNG, each with the byte of its filter."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    refuse_large(width, height)
    size = 0
    for left, top, right, down in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // right), -((top - height) // down)
        size += rows * (1 + (columns * bits * SAMPLES[colour] + 7) // 8) if columns > 0 and rows > 0 else 0
    return size


def refuse_large(width: int, height: int) -> None:
    """Raise ValueError for more pixels than are decoded, before memory is taken for them."""
    if width * height > MAX_PIXELS:
        raise ValueError("too many pixels")
