"""Damaged picture files of which a part is there: copies that can be decoded, with the rest blank."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from i2i_core.data.jpegs import ended
from i2i_core.data.kinds import MAX_PIXELS, kind_of
from i2i_core.data.user_cache import user_cache
from i2i_core.disk.files import write_file

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced PNG: first column and row, and the steps between them."""
KEPT = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"eXIf")
"""The chunks of a PNG besides its pixels that say how they are shown."""
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by the colour type of a PNG."""


def repaired(path: Path) -> Path | None:
    """Return a copy of a damaged JPEG, PNG or BMP in the user's cache that can be decoded; None for other files.

    What the file lacks is grey in a JPEG, and black or transparent else. Raises OSError if there is no cache.
    """
    with open(path, "rb") as file:
        try:
            repair = {"JPEG": ended, "PNG": _png, "BMP": _bmp}[kind_of(file)]
            contents = repair(file.read())
        except (ValueError, KeyError, IndexError, struct.error):
            return None
    stat = path.stat()
    name = hashlib.sha256(os.fsencode(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}")).hexdigest()[:32]
    copy = user_cache("repaired") / f"{name}{path.suffix}"
    write_file(copy, contents)
    return copy


def _png(data: bytes) -> bytes:
    """Return a PNG with the rows that can be inflated, and zeros after them, whatever its checksums say."""
    chunks = list(_chunks(data))
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


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _bytes_of_rows(header: bytes) -> int:
    """Return the size of all rows of a PNG, each with the byte of its filter."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    _refuse_large(width, height)
    size = 0
    for left, top, right, down in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // right), -((top - height) // down)
        size += rows * (1 + (columns * bits * SAMPLES[colour] + 7) // 8) if columns > 0 and rows > 0 else 0
    return size


def _bmp(data: bytes) -> bytes:
    """Return a BMP without compression with zeros for the pixels that it lacks."""
    offset, size = struct.unpack_from("<I", data, 10)[0], struct.unpack_from("<I", data, 14)[0]
    width, height, _, bits = struct.unpack_from("<HHHH" if size == 12 else "<iiHH", data, 18)
    _refuse_large(width, abs(height))
    return data.ljust(offset + abs(height) * ((width * bits + 31) // 32 * 4), b"\0")


def _refuse_large(width: int, height: int) -> None:
    """Raise ValueError for more pixels than are decoded, before memory is taken for them."""
    if width * height > MAX_PIXELS:
        raise ValueError("too many pixels")
