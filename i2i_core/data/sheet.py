"""Pictures side by side with labels, for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

from PIL import Image, ImageDraw, ImageFont

INK, PAPER = "#1a1a1a", "white"
FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "Arial Unicode.ttf",
)
"""For letters that Pillow's own font lacks: of Linux, Windows and macOS, those with Chinese ones last."""
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
Cell = Image.Image | str | None
"""A picture, a label or nothing."""


def sheet(rows: Sequence[Sequence[Cell]], size: tuple[int, int], gap: int = 4) -> Image.Image:
    """Draw rows of cells on white. Each picture is centred in a cell of `size` (width, height), which texts may exceed.

    A row or column of texts alone is only as high or wide as they are; rows may be of different lengths.
    """
    columns, letters = max(map(len, rows)), max(12, size[1] // 14)
    widths, heights = [0] * columns, [0] * len(rows)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            width, height = _extent(cell, letters, size)
            widths[c], heights[r] = max(widths[c], width), max(heights[r], height)
    made = Image.new("RGB", (sum(widths) + gap * (columns + 1), sum(heights) + gap * (len(rows) + 1)), PAPER)
    draw = ImageDraw.Draw(made)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        left = gap
        for cell, width in zip(row, widths, strict=False):
            if isinstance(cell, Image.Image):
                made.paste(cell, (left + (width - cell.width) // 2, top + (height - cell.height) // 2))
            elif cell is not None:
                at = (left + width / 2, top + height / 2)
                draw.multiline_text(at, cell, INK, _font(letters, cell), anchor="mm", align="center")
            left += width + gap
        top += height + gap
    return made


def shortened(name: str, width: int) -> str:
    """Leave out the middle of a name that does not fit above a picture, since names end in numbers."""
    fits = max(6, width // 7)
    return name if len(name) <= fits else f"{name[: fits // 2]}…{name[-((fits - 1) // 2) :]}"


def in_lines(name: str, width: int) -> str:
    """Break a name after underscores, hyphens and spaces, so that it fits above a picture."""
    lines = [""]
    for part in re.findall(r"[^-_ ]*[-_ ]+|[^-_ ]+", name):
        if lines[-1] and len(lines[-1] + part.rstrip()) > max(6, width // 7):
            lines.append("")
        lines[-1] += part
    return "\n".join(shortened(line.strip(), width) for line in lines)


def _extent(cell: Cell, letters: int, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a cell whose letters are so many pixels high."""
    if isinstance(cell, Image.Image):
        return max(cell.width, size[0]), max(cell.height, size[1])
    if not cell:
        return 0, 0
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, top, right, bottom = draw.multiline_textbbox((0, 0), cell, _font(letters, cell))
    return round(right - left) + 8, round(bottom - top) + 8


@cache
def _font(size: int, text: str) -> Font:
    """Choose the font that has most letters of a text: Pillow's own, which has few but English ones, or a system's."""
    fonts: list[Font] = [ImageFont.load_default(size)]
    for name in FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size))
    letters = {*text} - {*" \n"}
    return max(fonts, key=lambda font: _count(font, letters))


def _count(font: Font, letters: set[str]) -> int:
    """The number of letters that a font has."""
    missing = bytes(font.getmask("\U0010fffe"))
    return sum(bytes(font.getmask(letter)) != missing for letter in letters)
