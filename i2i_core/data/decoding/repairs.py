"""Damaged picture files of which a part is there: copies that can be decoded, with the rest blank."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from pathlib import Path

from i2i_core.data.decoding.jpegs import ended, padded
from i2i_core.data.decoding.kinds import kind_of
from i2i_core.data.decoding.pngs import refuse_large, what_is_left
from i2i_core.data.user_cache import user_cache
from i2i_core.disk.files import write_file
from i2i_core.disk.unknown import read_bytes
from i2i_core.errors import DiskError

MOST_BYTES = 2**30
"""Most bytes of a file that is repaired, which is read whole."""


def repaired(path: Path) -> Path | None:
    """Return a copy of a damaged JPEG, PNG or BMP in the user's cache that can be decoded; None for other files.

    Raises OSError if the file cannot be read, and DiskError if the copy cannot be written.
    """
    contents = what_is_there(read_bytes(path, MOST_BYTES))
    if contents is None:
        return None
    stat = path.stat()
    name = hashlib.sha256(os.fsencode(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}")).hexdigest()[:32]
    try:
        copy = user_cache("repaired") / f"{name}{path.suffix}"
    except FileNotFoundError as error:
        why = f"what is left of {path} cannot be kept: {error}"
        raise DiskError(f"{why}; set XDG_CACHE_HOME to a folder, or broken to skip") from None
    write_file(copy, contents)
    return copy


def what_is_there(contents: bytes) -> bytes | None:
    """Return the contents of a damaged JPEG, PNG or BMP as those of a file that can be decoded; None for other ones.

    What the file lacks is grey in a JPEG, and black or transparent else.
    """
    try:
        repair = {"JPEG": lambda data: padded(ended(data)), "PNG": what_is_left, "BMP": _bmp}[
            kind_of(io.BytesIO(contents))
        ]
        return repair(contents)
    except (ValueError, KeyError, IndexError, struct.error):
        return None


def _bmp(data: bytes) -> bytes:
    """Return a BMP without compression with zeros for the pixels that it lacks."""
    offset, size = struct.unpack_from("<I", data, 10)[0], struct.unpack_from("<I", data, 14)[0]
    width, height, _, bits = struct.unpack_from("<HHHH" if size == 12 else "<iiHH", data, 18)
    refuse_large(width, abs(height))
    if offset > len(data) or bits > 32:  # a header that lies, and would take gigabytes
        raise ValueError("no pixel is there")
    return data.ljust(offset + abs(height) * ((width * bits + 31) // 32 * 4), b"\0")
