"""JPEGs that end too soon, or are of a kind that is not read: whether all of their pixels are there."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image, JpegImagePlugin

END = b"\xff\xd9"
RESTARTS = range(0xD0, 0xD8)
"""The markers that begin a new interval of a scan, in turn."""
COEFFICIENTS = range(64)
LEAST_BITS = {0xC0: 2, 0xC1: 2, 0xC2: 1}
"""Least bits of a block of 8 x 8 samples with Huffman codes: codes for its mean and for its end, or one of both."""
UNREAD = {0xF7: "JPEG-LS", **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG")}
"""Kinds of JPEGs that are not read, by the marker of their frame."""
FRAMES = {*range(0xC0, 0xD0), *UNREAD} - {0xC4, 0xC8, 0xCC}


def refuse_unread(stream: BinaryIO) -> None:
    """Raise ValueError for an open JPEG of a kind that is not read, or with fewer bytes than its pixels take."""
    for marker, frame in _frames(stream):
        if marker in UNREAD:
            raise ValueError(f"it is {UNREAD[marker]}, which is not read; convert it, for example to PNG")
        if frame[0] != 8:
            raise ValueError(f"a JPEG of {frame[0]} bits, and those of 8 bits are read; convert it, for example to PNG")
        if stream.seek(0, os.SEEK_END) < _least_bytes(marker, frame):
            raise ValueError("cut short")


def padded(data: bytes) -> bytes:
    """Return a JPEG with zeros after its end, so that it has as many bytes as its pixels take."""
    return data.ljust(max((_least_bytes(*frame) for frame in _frames(io.BytesIO(data))), default=0), b"\0")


def _frames(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Return the marker and the header of the first frame, if it is whole."""
    stream.seek(2)
    while len(head := stream.read(2)) == 2 and head[0] == 0xFF and head[1] != 0xDA:
        if head[1] == 0xFF:  # a byte that fills
            stream.seek(-1, os.SEEK_CUR)
            continue
        if head[1] == 0x01 or head[1] in RESTARTS:  # alone
            continue
        segment = stream.read(max(0, int.from_bytes(stream.read(2)) - 2))
        if head[1] in FRAMES:
            if len(segment) > 5 and len(segment) >= 6 + 3 * segment[5]:
                yield head[1], segment
            return


def _least_bytes(marker: int, frame: bytes) -> int:
    """Return the least size of the pixels of a frame; 0 if its coding has none."""
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    factors = [(sampling >> 4, sampling & 15) for sampling in frame[7 : 7 + 3 * frame[5] : 3]]
    across, down = (max((pair[axis] for pair in factors), default=1) or 1 for axis in (0, 1))
    blocks = sum(-(-width * x // (8 * across)) * -(-height * y // (8 * down)) for x, y in factors)
    return blocks * LEAST_BITS.get(marker, 0) // 8


def ended(data: bytes) -> bytes:
    """Return a JPEG that ends too soon with an end marker. A decoder fills the pixels that it lacks with grey."""
    return data.rstrip(b"\xff") + END  # the first half of a marker


def complete(data: bytes) -> Image.Image | None:
    """Decode a JPEG that ends too soon, if it has all of its pixels; else return None.

    They are there if they do not depend on what follows the last byte, and if no scan is missing. Zeros at the end are
    no pixels: a copy that failed leaves them.
    """
    stored = data.rstrip(b"\0")
    if len(data) - len(stored) > 1:
        data = stored + (b"\0" if stored.endswith(b"\xff") else b"")  # a stuffed byte
    if not _has_all_scans(data):
        return None
    picture = _decoded(ended(data))
    for bits in (b"\x5a", b"\xa5"):  # begin with 0 and with 1
        more = b"".join(bits * 64 + bytes([0xFF, restart]) for restart in (*RESTARTS, *RESTARTS))
        if _decoded(data.rstrip(b"\xff") + more + END).tobytes() != picture.tobytes():
            return None
    return picture


def _decoded(data: bytes) -> Image.Image:
    picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    picture.load()
    return picture


def _has_all_scans(data: bytes) -> bool:
    """Return True if the scans hold each coefficient of each component in full precision."""
    missing: set[tuple[int, int]] | None = None
    at = 2
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        segment = data[at + 4 : at + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame
            missing = {(component, n) for component in segment[6::3] for n in COEFFICIENTS}
        at += 2 + length
        if marker == 0xDA and missing is not None:  # a scan
            first, last, precision = segment[-3:]
            if precision & 15 == 0:
                components = segment[1:-3:2]
                missing -= {(component, n) for component in components for n in COEFFICIENTS[first : last + 1]}
            following = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]").search(data, at)  # no stuffed byte, and no restart
            at = following.start() if following else len(data)
    return missing == set()
