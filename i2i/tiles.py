"""Translations of pictures of any size, at their own resolution, in overlapping windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2i.large_tiff import SUFFIXES, TiffRows
from i2i.opening import opened
from i2i.served_uses import ServedUse
from i2i.shared_norms import SharedNorms
from i2i.style import Style
from i2i.translator import Sources, Translator
from i2i_core.data.fitting import extent, fit
from i2i_core.errors import UsageError
from i2i_core.interfaces import Format, Size, Value

OVERLAP = 0.25
"""Share of a window that the next one overlaps."""


class Rows(Protocol):
    """A picture of which rows are read as needed."""

    @property
    def size(self) -> Size:
        """Height and width."""
        ...

    def rows(self, top: int, bottom: int) -> Value:
        """Return rows of the picture, as its format reads them."""
        ...


def opened_rows(path: Path, form: Format) -> Rows:
    """Open a picture: a TIFF by rows where its kind allows it, else the whole picture. Raises DataError."""
    if path.suffix.lower() in SUFFIXES and find_spec("tifffile") is not None:
        with suppress(Exception):  # whatever is wrong with the file, its format says it
            return TiffRows(path, form)
    return InMemory(opened(path, form))


@dataclass(frozen=True)
class InMemory:
    """A picture in memory."""

    value: Value

    @property
    def size(self) -> Size:
        size = extent(self.value)
        assert size is not None
        return size

    def rows(self, top: int, bottom: int) -> Value:
        if isinstance(self.value, Image.Image):
            return self.value.crop((0, top, self.value.width, bottom))
        return self.value[top:bottom]


class Tiled:
    """A translation of one picture into several styles, whose rows are computed as they are needed.

    Windows overlap by a quarter and are blended linearly. Their instance norms share the statistics of `batch` windows
    that are spread over the picture, so that neighbours fit each other.
    """

    def __init__(
        self,
        model: Translator,
        use: ServedUse,
        picture: Rows,
        styles: Sequence[Style],
        *,
        inputs: Mapping[str, Rows] | None = None,
        batch: int = 8,
    ) -> None:
        """inputs: further inputs by batch field, of the size of the picture or with the same aspect ratio.

        batch: number of windows to translate at a time. Raises UsageError for a model that cannot work so.
        """
        self.model, self.use, self.picture, self.styles, self.batch = model, use, picture, styles, batch
        self.inputs = inputs or {}
        self.window = use.source.size
        self.scale = _scale(use)
        self.size: Size = (picture.size[0] * self.scale, picture.size[1] * self.scale)
        """Height and width of the translation."""
        if model.face_finders:
            raise UsageError("the model looks for faces, which windows would cut; leave tiles out")
        self._tops, self._lefts = (starts(side, own) for side, own in zip(picture.size, self.window, strict=True))
        self._norms = SharedNorms()

    @torch.no_grad()
    def rows(self) -> Iterator[list[Value]]:
        """Yield the rows of the translations from top to bottom: parts of the whole width, one for each style."""
        self._gather()
        width, form = self.size[1], self.use.result.format
        sums: list[Tensor] | None = None
        weights = torch.zeros(1, 1)
        for n, top in enumerate(self._tops):
            made = list(self._row(top))
            height = made[0][1][0].shape[-2]
            if sums is None:
                channels = made[0][1][0].shape[0]
                sums = [torch.zeros(channels, height, width) for _ in self.styles]
                weights = torch.zeros(height, width)
            for left, windows in made:
                weight = _weight(windows[0].shape[-2:], self.scale * self._overlap(0), self.scale * self._overlap(1))
                span = slice(left * self.scale, left * self.scale + weight.shape[1])
                weights[:, span] += weight
                for total, window in zip(sums, windows, strict=True):
                    total[:, :, span] += weight * window
            last = n + 1 == len(self._tops)
            done = height if last else (self._tops[n + 1] - top) * self.scale
            yield [form.decode(total[:, :done] / weights[:done]) for total in sums]
            sums = [_moved_up(total, done) for total in sums]
            weights = _moved_up(weights, done)

    def whole(self) -> list[Value]:
        """Return the whole translations, one for each style."""
        return [joined(parts) for parts in zip(*self.rows(), strict=True)]

    def _overlap(self, axis: int) -> int:
        return max(1, int(self.window[axis] * OVERLAP))

    def _row(self, top: int) -> Iterator[tuple[int, list[Tensor]]]:
        """Yield the left of each window of a row, and its translations (C, h, w) without padding, by style."""
        bands = self._bands(top)
        for start in range(0, len(self._lefts), self.batch):
            lefts = self._lefts[start : start + self.batch]
            sources = self._sources([(bands, left) for left in lefts])
            with self._norms.using(len(lefts)):
                made = [sources.into(style).float().cpu() for style in self.styles]
            for n, (left, (x, y, right, bottom)) in enumerate(zip(lefts, sources.boxes, strict=True)):
                rows, columns = (slice(self.scale * a, self.scale * b) for a, b in ((y, bottom), (x, right)))
                yield left, [windows[n, :, rows, columns] for windows in made]

    def _gather(self) -> None:
        """Compute the statistics of norms on windows that are spread over the picture."""
        places = list(product(self._tops, self._lefts))
        chosen = [places[n * len(places) // self.batch] for n in range(self.batch)] if self.batch else places
        chosen = sorted({*chosen})
        sources = self._sources([(self._bands(top), left) for top, left in chosen])
        with self._norms.gathering(len(chosen)):
            for style in self.styles:
                sources.into(style)

    def _bands(self, top: int) -> dict[str, tuple[Value, Size]]:
        """Return the rows of a row of windows of the picture and the inputs, by field, with the size of the window."""
        found = {}
        for field, rows in {self.use.use.source: self.picture, **self.inputs}.items():
            ratio = rows.size[0] / self.picture.size[0]
            bottom = min(top + self.window[0], self.picture.size[0])
            found[field] = rows.rows(round(top * ratio), round(bottom * ratio)), rows.size
        return found

    def _sources(self, places: Sequence[tuple[Mapping[str, tuple[Value, Size]], int]]) -> Sources:
        """Prepare windows, each given by its band and its left side."""
        width = self.picture.size[1]
        fields: dict[str, list[Tensor]] = {}
        boxes = []
        for bands, left in places:
            box = (left / width, 0.0, min(left + self.window[1], width) / width, 1.0)
            for field, (value, _) in bands.items():
                layout = replace(self.model.layouts[field], fit="patch")
                x, place = fit(value, layout, box)
                fields.setdefault(field, []).append(x)
                if field == self.use.use.source:
                    boxes.append(place)
        encoded = {
            field: self.model.encoded(torch.stack(xs), self.model.layouts[field]) for field, xs in fields.items()
        }
        x = encoded.pop(self.use.use.source)
        return Sources(self.model, self.use, x, boxes, encoded)


def starts(side: int, window: int) -> list[int]:
    """Return where windows begin along a side: as few as overlap by a quarter, at equal distances."""
    if side <= window:
        return [0]
    overlap = max(1, int(window * OVERLAP))
    count = -(-(side - overlap) // (window - overlap))
    return [round(n * (side - window) / (count - 1)) for n in range(count)]


def joined(parts: Sequence[Value]) -> Value:
    """Join rows of a picture: PIL images of one width, or arrays (h, W, ...)."""
    if not isinstance(parts[0], Image.Image):
        return np.concatenate(parts)
    whole: Image.Image = Image.new(parts[0].mode, (parts[0].width, sum(part.height for part in parts)))
    if (palette := parts[0].getpalette()) is not None:
        whole.putpalette(palette)
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def _scale(use: ServedUse) -> int:
    """Return the factor by which a use enlarges pictures; raises UsageError unless it is a whole number."""
    (height, width), (made_height, made_width) = use.source.size, use.result.size
    scale = made_height // height
    if (height * scale, width * scale) != (made_height, made_width) or not use.result.shape[1:]:
        raise UsageError(
            f"the use {use.name} makes {made_height} x {made_width} of {height} x {width} pixels, and tiles need a "
            f"whole multiple; translate without tiles"
        )
    return scale


def _weight(size: Sequence[int], down: int, right: int) -> Tensor:
    """Return weights (H, W) that rise from the edges of a window over the overlap."""
    sides = []
    for side, overlap in zip(size, (down, right), strict=True):
        place = torch.arange(side) + 0.5
        sides.append((torch.minimum(place, side - place) / overlap).clamp(max=1))
    return sides[0][:, None] * sides[1]


def _moved_up(x: Tensor, rows: int) -> Tensor:
    """Return rows moved up, and zeros below them."""
    moved = torch.zeros_like(x)
    moved[..., : x.shape[-2] - rows, :] = x[..., rows:, :]
    return moved
