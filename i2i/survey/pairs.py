"""Pairs that nobody declared: files of one name, and files whose halves show the same, known by their edges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.datasets.splits import HELD_OUT, TRAIN, split_of
from i2i_core.data.decoding.files import open_picture
from i2i_core.data.fitting import Side, half_of
from i2i_core.data.pictures import picture_files
from i2i_core.data.walking import folders_in
from i2i_core.errors import I2IError

SIDE_BY_SIDE = "classics/side_by_side"
LOOKED_AT, FEW = 96, 4
"""Greatest number of pairs that are compared, and the least one from which anything follows."""
WIDE, DOUBLE = 1.2, (1.96, 2.04)
"""Least aspect ratio of files that may hold a pair, and the range of those that are twice as wide as high."""
Edges = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Doubles:
    """A folder of files that may each hold a pair side by side."""

    says: str
    likely: bool
    """True if the halves look like a pair; else the files are only twice as wide as high."""
    write: Mapping[str, Any]
    """The keys of `data` that read them as pairs."""


def same_names(dataset: ImageFolders) -> int:
    """Return the number of names of files that all domains share, or 0 if one lacks some."""
    names = _names(dataset)
    return len(names[0]) if len(names) > 1 and len(names[0]) > 1 and all([*of] == [*names[0]] for of in names) else 0


def look_like_pairs(dataset: ImageFolders) -> bool | None:
    """Return True if files of one name in the first two domains show the same; None if they cannot be compared.

    They cannot be if names differ, files are few, or are no pictures.
    """
    return _show_the_same(*_names(dataset)[:2]) if same_names(dataset) >= FEW else None


def without_partner(dataset: ImageFolders) -> list[Path]:
    """Return the files whose name another domain lacks, if all others look like pairs and are more; else none."""
    names = _names(dataset)
    common = set(names[0]).intersection(*names[1:])
    lone = [path for of in names for name, path in of.items() if name not in common]
    if len(names) < 2 or len(common) < FEW or len(lone) > len(common):
        return []
    ones, others = ({name: path for name, path in of.items() if name in common} for of in names[:2])
    return sorted(lone) if _show_the_same(ones, others) else []


def _names(dataset: ImageFolders) -> list[dict[Path, Path]]:
    """Return the files of each domain by their names, which are paths in its folder without suffix, sorted."""
    return [
        dict(sorted((path.relative_to(dataset.places[name]).with_suffix(""), path) for path in of))
        for name, of in zip(dataset.domains, dataset.files, strict=True)
    ]


def _show_the_same(ones: Mapping[Path, Path], others: Mapping[Path, Path]) -> bool | None:
    """Return True if files of one name show the same; None if some are no pictures."""
    try:
        first, second = ([_edges(open_picture(path)) for path in [*of.values()][:LOOKED_AT]] for of in (ones, others))
    except (OSError, ValueError, I2IError):  # arrays, and whatever else is no picture
        return None
    return _agree(first, second)


def doubles_in(root: Path) -> Doubles | None:
    """Return what is in a folder of pictures, or in its folders train and val, if each may be a pair side by side."""
    place, held_out = _place(root)
    if place is None:
        return None
    aspects, halves = list[float](), list[tuple[Edges, Edges]]()
    for path in picture_files(place)[:LOOKED_AT]:
        with suppress(OSError, ValueError, I2IError):  # broken files are told later
            picture = open_picture(path)
            aspects.append(picture.width / picture.height)
            halves.append((_edges_of_half(picture, "left"), _edges_of_half(picture, "right")))
    if not aspects or min(aspects) < WIDE:
        return None
    likely = len(halves) >= FEW and _agree(*zip(*halves, strict=True))
    if not likely and not all(DOUBLE[0] <= aspect <= DOUBLE[1] for aspect in aspects):
        return None
    keys: dict[str, Any] = {"use": SIDE_BY_SIDE, "root": str(place), "domains": ["A", "B"], "targets": {"A": "B"}}
    if held_out is not None:
        keys["validation"] = {"root": str(held_out)}
    says = f"the pictures of {place} are pairs side by side: the edges of both halves are at the same places"
    but = "their halves differ" if len(halves) >= FEW else "are too few to compare their halves"
    unsure = f"the pictures of {place} are twice as wide as high, as pairs side by side are, but {but}"
    return Doubles(says if likely else unsure, likely, keys)


def _place(root: Path) -> tuple[Path | None, Path | None]:
    """Return the folder of all pictures for training, if they are in one folder, and that of held-out ones."""
    if not root.is_dir():
        return None, None
    folders = folders_in(root)
    splits = {split: folder for folder in folders for split, domain in [split_of(folder)] if split and not domain}
    train = splits.get(TRAIN, folders[0] if len(folders) == 1 else "")
    place = root if not folders else root / train if train else None
    if place is None or (place != root and folders_in(place)):
        return None, None
    return place, next((root / splits[name] for name in HELD_OUT if name in splits), None)


def _agree(ones: Sequence[Edges], others: Sequence[Edges]) -> bool:
    """Return True if the edges of each two pictures are at the same places.

    Their correlation has to be greater than that with the next picture, by three standard errors, and by more of them
    if pictures are few.
    """
    first, second = np.stack(ones), np.stack(others)
    alike, apart = ((first * np.roll(second, shift, 0)).mean(1) for shift in (0, 1))
    margin = float(np.std(alike - apart, ddof=1)) / math.sqrt(len(alike))
    needed = 3 * (1 + 4 / (len(alike) - 1))  # nearly the quantile of Student's t that three of a normal one are
    return float(np.mean(alike - apart)) > needed * margin


def _edges_of_half(picture: Image.Image, side: Side) -> Edges:
    half = half_of(picture, side)
    assert isinstance(half, Image.Image)
    return _edges(half)


def _edges(picture: Image.Image) -> Edges:
    """Return the strengths of a picture's edges at 32 x 32 places, with mean 0 and variance 1.

    Each row has the mean 0, as two halves of a landscape have the same horizon.
    """
    grey = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BOX), float)
    edges = np.hypot(*np.gradient(grey))
    centred = (edges - edges.mean(1, keepdims=True)).ravel()
    scaled: Edges = centred / (centred.std() or 1.0)
    return scaled
