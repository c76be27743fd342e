"""Colours of decoded pictures: any mode, depth and colour profile becomes RGB of sRGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from i2i_core.data.decoding.profiles import profile_of

try:
    from PIL import ImageCms
except ImportError:  # a Pillow that was built without LittleCMS
    ImageCms = None  # type: ignore[assignment]

Array = np.ndarray[Any, Any]
Info = dict[str | tuple[int, int], Any]
"""Metadata that Pillow found in a file."""
ROWS = 256
"""Number of rows that are converted at once, so that large pictures need no large copies."""
PROFILES = ("icc_profile", "gamma", "chromaticity", "cicp")
"""The names of what says which colours a picture has."""
SAME = 2
"""Greatest difference, of 255, between colours of a profile and of sRGB for a profile that counts as sRGB."""


def as_rgb(picture: Image.Image) -> Image.Image:
    """Convert a decoded picture of any mode to RGB: transparent parts on white, colour profiles converted to sRGB.

    Whole numbers of 16 bits are scaled to 8, and floats from [0, 1]. A picture that is RGB without a profile is
    returned as it is. Raises ValueError for other numbers.
    """
    if picture.mode.startswith("I") or picture.mode == "F":  # convert("RGB") would clip them
        picture = _in_8_bits(picture)
    if not picture.has_transparency_data:
        return _in_srgb(picture)
    white = Image.new("RGB", picture.size, "white")
    for box in boxes(picture.size):
        layer = picture.crop(box).convert("RGBA")
        colours = layer.convert("L" if picture.mode in ("L", "LA", "La") else "RGB")  # as its profile is for
        white.paste(_in_srgb(colours, picture.info), box, layer.getchannel("A"))
    return white


def boxes(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Return strips of at most `ROWS` rows of a picture of a width and height: left, top, right and bottom."""
    return ((0, top, size[0], min(top + ROWS, size[1])) for top in range(0, size[1], ROWS))


def numbers_of(picture: Image.Image) -> Array:
    """Return the numbers of a picture as an array, (H, W) or (H, W, C): np.asarray would take them three times."""
    if picture.height <= ROWS:
        return np.asarray(picture)
    strips = (np.asarray(picture.crop(box)) for box in boxes(picture.size))
    first = next(strips)
    numbers = np.empty((picture.height, *first.shape[1:]), first.dtype)
    numbers[: len(first)] = first
    for n, strip in enumerate(strips, 1):
        numbers[n * ROWS : n * ROWS + len(strip)] = strip
    return numbers


def scaled(numbers: Array, top: float) -> Array:
    """Scale numbers from [0, top] to [0, 255], uint8. Numbers that are none become 0.

    Raises ValueError for floats beyond 0 to 1.
    """
    if numbers.dtype.kind == "f":
        numbers = np.nan_to_num(numbers.astype(np.float32), posinf=0.0, neginf=0.0)
        least, greatest = numbers.min(initial=0), numbers.max(initial=0)
        if least < -0.5 / 255 or greatest > 255.5 / 255:
            raise ValueError(
                f"its floats go from {least:g} to {greatest:g}, and pictures of floats from 0 to 1; the format raster "
                f"reads them, with one range for all files"
            )
    exact = np.float32 if top < 2**20 else np.float64
    return (numbers * exact(255 / top)).round().clip(0, 255).astype(np.uint8)


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Convert grey numbers to 8 bits, and their transparent level to an alpha channel."""
    floats, clear = picture.mode == "F", picture.info.get("transparency")
    made = Image.new("L" if clear is None else "LA", picture.size)
    for box in boxes(picture.size):
        numbers = np.asarray(picture.crop(box))
        if not floats and not (numbers.min(initial=0) >= 0 and numbers.max(initial=0) <= 65535):
            raise ValueError(
                "its numbers are not in the range 0 to 65535; the format raster reads them, with one range for all "
                "files"
            )
        strip = scaled(numbers, 1.0 if floats else 65535.0)
        if clear is not None:
            strip = np.dstack([strip, np.where(numbers == clear, 0, 255).astype(np.uint8)])
        made.paste(Image.fromarray(strip), box)
    made.info = {key: value for key, value in picture.info.items() if key != "transparency"}
    return made


def _in_srgb(picture: Image.Image, info: Info | None = None) -> Image.Image:
    """Convert a picture without transparency to RGB, and the colours of its profile to sRGB."""
    info = info or picture.info
    profile = profile_of(info)
    if picture.mode in ("P", "PA", "1") or (profile and profile is not info.get("icc_profile")):
        picture = picture.convert("RGB")
    transform = None
    if ImageCms and (profile or picture.mode == "LAB"):
        transform = _transform(profile if picture.mode != "LAB" else None, picture.mode)
    if transform is None:
        return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it
    made: Image.Image = transform.apply(picture)
    made.info = {key: value for key, value in made.info.items() if key not in PROFILES}
    return made


@lru_cache(maxsize=64)
def _transform(profile: bytes | None, mode: str) -> Any:
    """Return the transform from a profile to sRGB, or None for one that is sRGB, broken, or of another mode.

    profile: an ICC profile; None for L*a*b*.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode in ("L", "RGB"):
            sample = _sample(mode)
            found = np.asarray(transform.apply(sample)).astype(int)
            if np.abs(found - np.asarray(sample.convert("RGB"))).max() <= SAME:
                return None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # as viewers, which ignore such a profile
        return None
    return transform


def _sample(mode: str) -> Image.Image:
    """Return a picture of colours from all of the space."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
    return Image.fromarray(colours.reshape(9, 81, 3))
