"""Pictures that are alike: files of equal bytes, and pictures that look the same."""

from __future__ import annotations

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.colours import as_rgb, boxes, numbers_of
from i2i_core.data.decoding.files import decode_file
from i2i_core.data.formats.picture import Picture
from i2i_core.data.user_cache import user_cache
from i2i_core.disk.files import write_file
from i2i_core.errors import DiskError
from i2i_core.interfaces import Format

SIDE, COLOURS = 16, 4
"""Sides of the thumbnails of brightness and of colours by which pictures are compared."""
NEAR = 4.0
"""Greatest root mean square of the differences of two thumbnails, of 255 levels, for pictures that look the same."""
DARK = 64
"""Level that grey pictures do not reach if they are compared as if they were brighter."""
AT_ONCE = 256
"""Number of pictures that are compared with others at a time."""
Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


@dataclass(frozen=True)
class Appearance:
    """The appearance of a picture, for comparisons."""

    thumbnail: Bytes
    """Its brightness at 16 x 16 pixels and its two colours at 4 x 4, (288,)."""
    transparent: bool
    """True if parts of it are transparent."""


def appearances(paths: Sequence[Path], form: Format) -> dict[Path, Appearance]:
    """Return the appearance of pictures of the format `picture` or `grey`, from the user's cache; skip broken ones.

    Other formats have none: two label maps or masks may well be nearly the same.
    """
    if not isinstance(form, Picture):
        return {}
    keys = {path: _key(path) for path in paths if path.is_file()}
    known = _cached(file := _cache_file([*keys]))
    new = [path for path, key in keys.items() if key not in known]
    with ThreadPoolExecutor() as threads:  # decoding releases the GIL
        made = zip(new, threads.map(_appearance, new), strict=True)
        known |= {keys[path]: look for path, look in made if look is not None}
    found = {path: known[key] for path, key in keys.items() if key in known}
    if new:
        with suppress(DiskError):  # without a writable cache, files are decoded again next time
            _keep(file, {keys[path]: look for path, look in found.items()})
    return found


def same_bytes(paths: Iterable[Path]) -> list[list[Path]]:
    """Return the groups of files with the same bytes."""
    by_size, by_digest = defaultdict[int, list[Path]](list), defaultdict[bytes, list[Path]](list)
    for path in filter(Path.is_file, paths):  # a dangling link is reported as broken
        by_size[path.stat().st_size].append(path)
    for same_size in by_size.values():
        for path in same_size if len(same_size) > 1 else ():
            with open(path, "rb") as file:
                by_digest[hashlib.file_digest(file, "sha256").digest()].append(path)
    return [sorted(same) for same in by_digest.values() if len(same) > 1]


def near_groups(found: Mapping[Path, Appearance]) -> list[list[Path]]:
    """Return the groups of pictures of which each looks nearly like another one of the group."""
    paths = sorted(found)
    if len(paths) < 2:
        return []
    groups = _Groups(len(paths))
    thumbnails = np.stack([found[path].thumbnail for path in paths])
    unique, firsts, group = np.unique(thumbnails, axis=0, return_index=True, return_inverse=True)
    for one, of in enumerate(group.ravel()):
        groups.join(one, int(firsts[of]))
    for one, other in _near_pairs(unique):
        groups.join(int(firsts[one]), int(firsts[other]))
    return [[paths[number] for number in numbers] for numbers in groups.of_several()]


def joined(groups: Iterable[Iterable[Path]]) -> list[list[Path]]:
    """Return groups that share no path: those that do are joined."""
    listed = [list(group) for group in groups]
    paths = sorted({path for group in listed for path in group})
    numbers, found = {path: number for number, path in enumerate(paths)}, _Groups(len(paths))
    for group in listed:
        for path in group[1:]:
            found.join(numbers[group[0]], numbers[path])
    return [[paths[number] for number in of] for of in found.of_several()]


class _Groups:
    """Numbers that are joined to groups."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def root(self, number: int) -> int:
        while (parent := self.parents[number]) != number:
            self.parents[number] = number = self.parents[parent]
        return number

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        self.parents[second] = first

    def of_several(self) -> list[list[int]]:
        found = defaultdict[int, list[int]](list)
        for number in range(len(self.parents)):
            found[self.root(number)].append(number)
        return [group for group in found.values() if len(group) > 1]


def _near_pairs(thumbnails: Bytes) -> Iterator[tuple[int, int]]:
    """Yield the numbers of each two thumbnails that are near."""
    bright = thumbnails[:, : SIDE * SIDE].mean(1)
    order = np.argsort(bright)  # near ones differ by NEAR in their mean at most
    bright, vectors = bright[order], thumbnails[order].astype(np.float32)
    vectors -= vectors.mean(0)
    vectors[:, : SIDE * SIDE] /= SIDE  # so that the sum of squares is the mean square of both parts
    vectors[:, SIDE * SIDE :] /= np.sqrt(2.0) * COLOURS
    squares = np.square(vectors).sum(1)
    for start in range(0, len(vectors), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        others = slice(start, np.searchsorted(bright, bright[rows][-1] + NEAR, "right"))
        distances = squares[rows, None] + squares[None, others] - 2 * vectors[rows] @ vectors[others].T
        for one, other in np.argwhere(distances <= NEAR**2):
            if one < other:
                yield int(order[start + one]), int(order[start + other])


@BUDGET.turn()
def _appearance(path: Path) -> Appearance | None:
    """Return the appearance of a picture, or None if it cannot be decoded."""
    try:
        picture = _decoded(path)
        clear = picture.has_transparency_data and any(
            picture.crop(box).convert("RGBA").getchannel("A").getextrema() != (255, 255) for box in boxes(picture.size)
        )
        if picture.mode == "L" and 0 < (top := int(numbers_of(picture).max())) < DARK:  # class ids are far apart
            picture = picture.point([min(255, level * 255 // top) for level in range(256)])
        small = as_rgb(picture).resize((SIDE, SIDE), Image.Resampling.BOX).convert("YCbCr")
    except Exception:  # a decoder may raise anything on a damaged file, which is reported as broken
        return None
    light, *colours = small.split()
    parts = [light, *(colour.resize((COLOURS, COLOURS), Image.Resampling.BOX) for colour in colours)]
    return Appearance(np.concatenate([np.asarray(part).ravel() for part in parts]), bool(clear))


def _decoded(path: Path) -> Image.Image:
    with suppress(UnidentifiedImageError), Image.open(path, formats=("JPEG",)) as file:
        file.draft("RGB", (4 * SIDE, 4 * SIDE))  # decodes an eighth of its size
        return ImageOps.exif_transpose(file)
    return decode_file(path)


def _key(path: Path) -> bytes:
    """Return a digest that changes whenever the file does."""
    stat = path.stat()
    return hashlib.sha256(os.fsencode(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}")).digest()


def _cache_file(paths: Sequence[Path]) -> Path | None:
    root = os.path.commonpath([path.resolve().parent for path in paths]) if paths else ""
    with suppress(OSError):
        return user_cache("looks") / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.npy"
    return None


_RECORD = np.dtype([("key", "u1", 32), ("thumbnail", "u1", SIDE * SIDE + 2 * COLOURS * COLOURS), ("clear", "?")])


def _cached(file: Path | None) -> dict[bytes, Appearance]:
    with suppress(OSError, ValueError):  # no cache yet, or a damaged one
        if file is not None and (records := np.load(file, allow_pickle=False)).dtype == _RECORD:
            return {r["key"].tobytes(): Appearance(r["thumbnail"], bool(r["clear"])) for r in records}
    return {}


def _keep(file: Path | None, appearances: Mapping[bytes, Appearance]) -> None:
    records = np.zeros(len(appearances), _RECORD)
    for record, (key, appearance) in zip(records, appearances.items(), strict=True):
        record["key"], record["clear"] = np.frombuffer(key, np.uint8), appearance.transparent
        record["thumbnail"] = appearance.thumbnail
    contents = io.BytesIO()
    np.save(contents, records, allow_pickle=False)
    if file is not None:
        write_file(file, contents.getvalue())
