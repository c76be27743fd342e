"""Colour profiles (ICC) of primaries and a curve, which pictures may name without a profile."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

Point = tuple[float, float]
"""The chromaticity x, y of a colour."""
SRGB: tuple[Point, ...] = ((0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
"""The white, red, green and blue of sRGB."""
D65 = SRGB[0]
PRIMARIES: Mapping[int, tuple[Point, ...]] = {
    1: SRGB,
    2: SRGB,  # not specified
    4: ((0.31, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    6: (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
"""Chromaticities by the number that ITU-T H.273 gives them: 9 is BT.2020, 12 is Display P3."""
Curve = tuple[float, ...]
"""A curve from levels to light: its gamma, or g, a, b, c, d with (a x + b)^g from d on, and c x below."""
SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
CURVES: Mapping[int, Curve] = {**dict.fromkeys((1, 2, 6, 11, 13, 14, 15), SRGB_CURVE), 4: (2.2,), 5: (2.8,), 8: (1.0,)}
"""Curves by the number that ITU-T H.273 gives them. 2 is not specified, 13 is sRGB.

The others of sRGB are those of cameras for video, whose pictures displays show with a curve as that of sRGB. Browsers
do so, too.
"""
HIGH = {16: "PQ", 18: "HLG"}
"""Curves of high dynamic range, which sRGB does not have."""
USUAL_GAMMA = 0.45455
"""The gamma in a PNG whose colours are those of sRGB."""
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def profile_of(info: Mapping[Any, Any]) -> bytes | None:
    """Return the profile of a picture: the one that its file has, or one of the primaries and the curve that it names.

    info: what was found in the file. The result is None for sRGB. Raises ValueError for colours of high dynamic range,
    and for other numbers that have no profile.
    """
    if "cicp" in info:
        primaries, curve, *_ = info["cicp"]
        return _profile_of_codes(primaries, curve)
    return info.get("icc_profile") or _profile_of_gamma(info)


def _profile_of_codes(primaries: int, curve: int) -> bytes | None:
    """Return a profile of the numbers of ITU-T H.273 for primaries and transfer characteristics."""
    if curve in HIGH:
        raise ValueError(f"its colours are of high dynamic range ({HIGH[curve]}); save it with colours of sRGB")
    if primaries not in PRIMARIES or curve not in CURVES:
        what = f"primaries {primaries} and transfer characteristics {curve} of H.273"
        raise ValueError(f"its colours have the {what}, which are not read; save it with colours of sRGB")
    points, numbers = PRIMARIES[primaries], CURVES[curve]
    return None if (points, numbers) == (SRGB, SRGB_CURVE) else matrix_profile(points, numbers)


def _profile_of_gamma(info: Mapping[Any, Any]) -> bytes | None:
    """Return a profile for a PNG without one that names a gamma or primaries; None if they are those of sRGB."""
    if "srgb" in info or not ("gamma" in info or "chromaticity" in info):
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
    return matrix_profile(points, SRGB_CURVE if usual else (1 / gamma,))


def codes_in_boxes(head: bytes) -> tuple[int, int] | None:
    """Return the numbers of H.273 for the primaries and the curve of an AVIF or HEIC; None if it has none."""
    if not (found := re.search(rb"colrnclx(.{2})(.{2})", head, re.DOTALL)):
        return None
    primaries, curve = found.groups()
    return int.from_bytes(primaries), int.from_bytes(curve)


@lru_cache(maxsize=16)
def matrix_profile(points: tuple[Point, ...], curve: Curve) -> bytes | None:
    """Return an ICC profile of RGB, or None for impossible primaries.

    points: chromaticities of white, red, green and blue.
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
    numbers = b"".join(struct.pack(">i", round(n * 65536)) for n in curve)
    light = b"para" + struct.pack(">IHH", 0, 0 if len(curve) == 1 else 3, 0) + numbers
    tags = {b"wtpt": _xyz(D50), b"rTRC": light, b"gTRC": light, b"bTRC": light}
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
