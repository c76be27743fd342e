"""JPEGs that end too soon: whether all of their pixels are there."""

from __future__ import annotations

import io
import re

from PIL import Image, JpegImagePlugin

END = b"\xff\xd9"
RESTARTS = range(0xD0, 0xD8)
"""The markers that begin a new interval of a scan, in turn."""
COEFFICIENTS = range(64)


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
