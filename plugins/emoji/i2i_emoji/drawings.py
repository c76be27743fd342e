"""The data set of emoji, stored as one sheet of pictures per domain and a list of motifs."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import PIL.Image

from i2i_core.errors import did_you_mean

ARCHIVE = Path(__file__).parent / "archive"
DOMAINS = ("flat", "high_contrast", "noto")
PIXELS = 64
COLUMNS = 7  # pictures per row of a sheet; 224 rows of 64 px stay below WebP's limit of 16,383 px


class Drawings:
    """Data set of 1,562 emoji motifs in three domains: flat (colour), high_contrast (line art), noto (another artist).

    Pictures are RGB, 64 x 64 pixels, on white. Each motif exists in each domain, so the data set is paired. flat and
    high_contrast show the same drawing; noto shows another drawing of the same motif.

    split: "train" (1,343 motifs) or "val" (219). Variants of a motif, such as gender, colour or direction, are in the
        same split.
    domains: names of the domains, in order.

    Raises ValueError if `domains` is empty, or contains an unknown name or a name twice.
    """

    paired = True

    def __init__(
        self, *, split: Literal["train", "val"] = "train", domains: tuple[str, ...] = ("flat", "high_contrast")
    ) -> None:
        for name in domains:
            if name not in DOMAINS:
                raise ValueError(f"emoji/drawings has no domain {name!r} ({did_you_mean(name, DOMAINS)})")
        if not domains or len(set(domains)) < len(domains):
            known = ", ".join(DOMAINS)
            raise ValueError(f"domains must be one or more of {known}, each once, not {list(domains)}")
        things: list[tuple[str, str, str]] = json.loads((ARCHIVE / "things.json").read_text(encoding="utf-8"))
        self.split: Literal["train", "val"] = split
        self.domains = tuple(domains)
        self.names = tuple(name for name, _, side in things if side == split)
        self._cells = tuple(cell for cell, (_, _, side) in enumerate(things) if side == split)
        self._sheets = tuple(open_sheet(ARCHIVE / f"{domain}.webp") for domain in self.domains)

    def count(self, domain: int) -> int:
        """Number of motifs, equal for all domains."""
        return len(self._cells)

    def picture(self, domain: int, index: int) -> PIL.Image.Image:
        """Return the picture of motif `names[index]` in `domains[domain]`, RGB, 64 x 64 pixels."""
        return self._sheets[domain].crop(cell_box(self._cells[index]))

    def fingerprint(self) -> str:
        """Identifier of the contents: domains, sizes of their files and names of the motifs."""
        return str([(domain, (ARCHIVE / f"{domain}.webp").stat().st_size) for domain in self.domains] + [*self.names])

    def __reduce__(self) -> tuple[Callable[[], Drawings], tuple[()]]:
        # A data worker decodes the sheets again (0.1 s each), which is faster than sending 25 MB for each of them.
        return functools.partial(Drawings, split=self.split, domains=self.domains), ()


@functools.cache  # both splits use the sheet, and decoding takes 0.1 s
def open_sheet(path: Path) -> PIL.Image.Image:
    """Decode a sheet: pictures of 64 px in rows of 7, in the order of things.json."""
    with PIL.Image.open(path, formats=["WEBP"]) as sheet:
        return sheet.convert("RGB")


def cell_box(cell: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the picture number `cell` of a sheet."""
    top, left = (PIXELS * place for place in divmod(cell, COLUMNS))
    return left, top, left + PIXELS, top + PIXELS
