"""Pictures as callers give them: a path, or a value in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from i2i_core.data.decoding import why_broken
from i2i_core.data.fitting import extent
from i2i_core.data.pngs import refuse_damaged
from i2i_core.errors import DataError, I2IError, UsageError
from i2i_core.interfaces import Format, Size, Value

Side = Literal["left", "right"]
Picture = Value | str | Path
"""A path, or a value as the format of the model's pictures reads it: for RGB a PIL picture of any mode."""
KINDS: Mapping[type, str] = {Image.Image: "a PIL image", np.ndarray: "a NumPy array", Mapping: "a mapping"}


def opened(given: Picture, form: Format, what: str = "") -> Value:
    """Read a path, or check a value, by its format. Raises DataError, and UsageError for other types.

    what: its name in messages; by default a picture.
    """
    if isinstance(given, str | Path):
        try:
            refuse_damaged(Path(given))
            return form.read(Path(given))
        except I2IError:
            raise
        except Exception as error:  # a decoder may raise anything on a damaged file
            as_what = "" if form.kind is Mapping else " as a picture"
            raise DataError(f"{given} cannot be used{as_what}: {why_broken(error)}") from error
    if not isinstance(given, form.kind):
        wish = f"must be a path or {KINDS.get(form.kind, form.kind.__name__)}, not {type(given).__name__}"
        hint = "; convert an array with PIL.Image.fromarray" if form.kind is Image.Image else ""
        raise UsageError(f"{what or 'a picture'} {wish}{hint}")
    if 0 in (extent(given) or (1,)):
        raise DataError(f"{what or 'the picture'} cannot be used: it has no pixels")
    try:
        return form.converted(ImageOps.exif_transpose(given) if isinstance(given, Image.Image) else given)
    except Exception as error:  # decoding may raise anything
        raise DataError(f"{what or 'the picture'} cannot be used: {why_broken(error)}") from error


def half_of(value: Value, side: Side) -> Value:
    """Return the left or right half of a picture or array; other values have no halves and are returned as they are."""
    if (size := extent(value)) is None:
        return value
    middle = size[1] // 2
    start = 0 if side == "left" else middle
    if isinstance(value, Image.Image):
        return value.crop((start, 0, start + middle, size[0]))
    return value[:, start : start + middle]


def is_double(value: Value, size: Size) -> bool:
    """Return True if a picture has twice the width that its height has at the aspect ratio of (H, W), up to 1 %."""
    ours = extent(value)
    return ours is not None and abs(ours[1] * size[0] / (ours[0] * size[1]) - 2) < 0.02


def refuse_other_extent(name: str, ours: Size | None, theirs: Size | None) -> None:
    """Raise DataError if a further input has a height and width, and other ones than its picture."""
    if ours and theirs and ours != theirs:
        raise DataError(
            f"the input {name} has {ours[1]} x {ours[0]} pixels, and the picture {theirs[1]} x {theirs[0]}; "
            f"make them equal"
        )
