"""Pictures as callers give them: a path, or a value in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from i2i_core.data.decoding.files import why_broken
from i2i_core.data.decoding.pngs import refuse_damaged
from i2i_core.data.fitting import Layout, Side, extent, half_of, is_double
from i2i_core.errors import DataError, I2IError, UsageError
from i2i_core.interfaces import Format, Size, Value

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


def picture_in(value: Value, layout: Layout, half: Side | None) -> Value:
    """Return the half of a file that a user chose, or that training took from files of twice the width; else all."""
    side = half or (layout.half if is_double(value, layout) else None)
    return half_of(value, side) if side else value


def refuse_other_extent(name: str, ours: Size | None, theirs: Size | None) -> None:
    """Raise DataError if a further input has a height and width, and other ones than its picture."""
    if ours and theirs and ours != theirs:
        raise DataError(
            f"the input {name} has {ours[1]} x {ours[0]} pixels, and the picture {theirs[1]} x {theirs[0]}; "
            f"make them equal"
        )
