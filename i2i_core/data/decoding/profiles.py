"""Colour profiles (ICC) of primaries and a gamma, which a PNG may name without a profile."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

Point = tuple[float, float]
"""The chromaticity x, y of a colour."""
SRGB: tuple[Point, ...] = ((0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
"""The white, red, green and blue of sRGB."""
USUAL_GAMMA = 0.45455
"""The gamma in a PNG whose colours are those of sRGB."""
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def profile_of_gamma(info: Mapping[Any, Any]) -> bytes | None:
    """Return a profile for a PNG without one that names a gamma or primaries; None if they are those of sRGB.

    info: what Pillow found in the file.
    """
    if "icc_profile" in info or "srgb" in info or not ("gamma" in info or "chromaticity" in info):
        return None
    gamma, primaries = float(info.get("gamma", USUAL_GAMMA)), info.get("chromaticity")
    if gamma <= 0:
        return None
    points = tuple(zip(primaries[::2], primaries[1::2], strict=True)) if primaries else SRGB
    usual = abs(gamma / USUAL_GAMMA - 1) < 0.05
    if usual and all(
        abs(x - y) < 0.005 for one, other in zip(points, SRGB, strict=True) for x, y in zip(one, other, strict=True)
    ):
        return None
    return matrix_profile(points, None if usual else 1 / gamma)


@lru_cache(maxsize=16)
def matrix_profile(points: tuple[Point, ...], gamma: float | None) -> bytes | None:
    """Return an ICC profile of RGB, or None for impossible primaries.

    points: chromaticities of white, red, green and blue.
    gamma: exponent from levels to light; None for the curve of sRGB.
    """
    if any(y <= 0 for _, y in points):
        return None
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in points)
    matrix = np.stack(primaries, 1)
    try:
        matrix = matrix * np.linalg.solve(matrix, white)
        adapted = np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD @ matrix)
    except np.linalg.LinAlgError:
        return None
    if gamma is None:
        numbers = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
        curve = b"para" + struct.pack(">IHH5i", 0, 3, 0, *(round(n * 65536) for n in numbers))
    else:
        curve = b"para" + struct.pack(">IHHi", 0, 0, 0, round(gamma * 65536))
    tags = {b"wtpt": _xyz(D50), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), adapted.T, strict=True)}
    tags[b"desc"] = b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, 2, 28) + "-".encode("utf-16-be")
    return _profile(tags)


def _xyz(colour: np.ndarray[Any, Any]) -> bytes:
    return b"XYZ " + struct.pack(">I3i", 0, *(round(float(n) * 65536) for n in colour))


def _profile(tags: Mapping[bytes, bytes]) -> bytes:
    bodies, table = b"", struct.pack(">I", len(tags))
    for name, body in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(bodies), len(body))
        bodies += body + b"\0" * (-len(body) % 4)
    header = struct.pack(
        ">I4xI4s4s4s12x4s4x4x4x8xI3i",
        128 + len(table) + len(bodies),
        0x04300000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        b"acsp",
        0,
        *(round(float(n) * 65536) for n in D50),
    )
    return header.ljust(128, b"\0") + table + bodies
