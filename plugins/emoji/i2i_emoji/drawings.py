"""The data set: a sheet of pictures per domain, and the list of what they show."""

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
COLUMNS = 7  # of a sheet; 224 rows of 64 px stay below WebP's limit of 16,383


class Drawings:
    """Emoji of the same 1,562 things: flat (colour), high_contrast (its line art), noto (another artist's).

    Pictures are 64x64 RGB on white. Every thing is drawn in every domain, so the set is paired: flat and
    high_contrast are the same drawing twice, noto is the same thing drawn anew. Variants of a thing (gender,
    colour, direction...) are on one side of the split: 1,343 things are in train, 219 in val.
    domains: which of them, in which order.

    Raises ValueError for a domain that is unknown, named twice or missing altogether.
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
            raise ValueError(f"emoji/drawings takes each domain once, of {known}; got {list(domains)}")
        things: list[tuple[str, str, str]] = json.loads((ARCHIVE / "things.json").read_text(encoding="utf-8"))
        self.split: Literal["train", "val"] = split
        self.domains = tuple(domains)
        self.names = tuple(name for name, _, side in things if side == split)
        self._cells = tuple(cell for cell, (_, _, side) in enumerate(things) if side == split)
        self._sheets = tuple(open_sheet(ARCHIVE / f"{domain}.webp") for domain in self.domains)

    def count(self, domain: int) -> int:
        """The number of things, the same for every domain."""
        return len(self._cells)

    def picture(self, domain: int, index: int) -> PIL.Image.Image:
        """Thing `names[index]` as drawn in `domains[domain]`: 64x64, RGB."""
        return self._sheets[domain].crop(cell_box(self._cells[index]))

    def fingerprint(self) -> str:
        """What the pictures are: which sheets of which drawings."""
        return str([(domain, (ARCHIVE / f"{domain}.webp").stat().st_size) for domain in self.domains] + [*self.names])

    def __reduce__(self) -> tuple[Callable[[], Drawings], tuple[()]]:
        # A worker decodes the sheets again (0.1 s each) rather than being sent 25 MB for each of them.
        return functools.partial(Drawings, split=self.split, domains=self.domains), ()


@functools.cache  # both sides of the split are on it, and to decode it takes 0.1 s
def open_sheet(path: Path) -> PIL.Image.Image:
    """A decoded sheet: 64-px pictures in rows of 7, in the order of things.json."""
    with PIL.Image.open(path, formats=["WEBP"]) as sheet:
        return sheet.convert("RGB")


def cell_box(cell: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the picture at place `cell` of a sheet."""
    top, left = (PIXELS * place for place in divmod(cell, COLUMNS))
    return left, top, left + PIXELS, top + PIXELS
