"""Large TIFF files: read by rows, and written by rows, so that no whole picture is in memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from i2i_core.data.decoding.files import why_broken
from i2i_core.data.formats.labels import Mask
from i2i_core.data.formats.raster import Raster, tiff_library
from i2i_core.disk.files import writing
from i2i_core.errors import DataError
from i2i_core.interfaces import Format, Size, Value

SUFFIXES = (".tif", ".tiff")
STRIP = 64
"""Number of rows in a strip of a written file."""
PLAIN = {1: 1, 2: 3}
"""Number of channels of the kinds that are read by rows: grey with black as 0, and RGB."""


class TiffRows:
    """A TIFF of which rows are read as needed; see `i2i.tiles.Rows`."""

    def __init__(self, path: Path, form: Format) -> None:
        """Raises ValueError for a kind that is only read as a whole."""
        self._path = path
        self._file = tiff_library().TiffFile(path)
        self._page, self._form = self._file.pages[0], form
        page = self._page
        self.size: Size = (page.imagelength, page.imagewidth)
        whole = page.samplesperpixel == 1 or page.planarconfig == 1
        upright = getattr(page.tags.get("Orientation"), "value", 1) == 1 and "InterColorProfile" not in page.tags
        if isinstance(form, Raster):  # whose channels may be pages
            plain = page.samplesperpixel == form.channels
        else:
            plain = page.bitspersample == 8 and page.dtype == np.uint8
            plain = plain and PLAIN.get(int(page.photometric)) == page.samplesperpixel
        if not (whole and upright and plain) or isinstance(form, Mask) or page.subfiletype not in (0, None):
            raise ValueError("a kind of TIFF that is not read by rows")  # a mask depends on all of its levels

    def rows(self, top: int, bottom: int) -> Value:
        """Raises DataError for damaged rows."""
        try:
            return self._rows(top, bottom)
        except Exception as error:  # a decoder may raise anything on a damaged file
            raise DataError(f"{self._path} cannot be used: {why_broken(error)}") from error

    def _rows(self, top: int, bottom: int) -> Value:
        made = np.concatenate([*self._segments(top, bottom)])
        return self._form.converted(made if isinstance(self._form, Raster) else Image.fromarray(made))

    def _segments(self, top: int, bottom: int) -> Iterator[np.ndarray[Any, Any]]:
        """Yield the rows by strip, or by row of tiles."""
        page, file = self._page, self._file.filehandle
        height, across = page.chunks[0], (page.chunked[1] if page.is_tiled else 1)
        for row in range(top // height, -(-bottom // height)):
            parts = []
            for index in range(row * across, (row + 1) * across):
                file.seek(page.dataoffsets[index])
                packed = file.read(page.databytecounts[index])
                data, _, shape = page.decode(packed, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
                parts.append(data[0, : shape[1], : shape[2]])
            whole = np.concatenate(parts, axis=1)[:, : page.imagewidth]  # tiles may reach beyond the picture
            inner = whole[max(top - row * height, 0) : bottom - row * height]
            yield inner[..., 0] if page.samplesperpixel == 1 else inner


def write_rows(path: Path, size: Size, parts: Iterable[Value]) -> None:
    """Write a TIFF atomically from parts that follow each other from top to bottom. Raises DiskError.

    parts: PIL images or arrays (h, W, ...) of the whole width.
    """
    strips = _strips(np.asarray(part) for part in parts)
    first = next(strips)
    colour = first.ndim == 3 and first.shape[2] == 3 and first.dtype == np.uint8
    beside = path.with_name(f".{path.name}.new")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tiff_library().imwrite(
                beside,
                (zlib.compress(strip.tobytes(), 1) for strip in _after(first, strips)),
                shape=(*size, *first.shape[2:]),
                dtype=first.dtype,
                rowsperstrip=STRIP,
                compression="zlib",
                photometric="rgb" if colour else "minisblack",
                planarconfig="contig" if first.ndim == 3 else None,
                bigtiff=size[0] * size[1] * first[0, 0].nbytes > 2**31,
            )
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def _after(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others


def _strips(parts: Iterator[np.ndarray[Any, Any]]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the rows of all parts in strips of equal height; the last one may be lower."""
    kept: np.ndarray[Any, Any] | None = None
    for part in parts:
        kept = part if kept is None else np.concatenate([kept, part])
        while len(kept) >= STRIP:
            yield kept[:STRIP]
            kept = kept[STRIP:]
    if kept is not None and len(kept):
        yield kept
