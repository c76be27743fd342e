"""Pictures side by side with labels, for people."""

from __future__ import annotations

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
Cell = Image.Image | str | None
"""A picture, a label or nothing."""


def sheet(rows: Sequence[Sequence[Cell]], size: tuple[int, int], gap: int = 4) -> Image.Image:
    """Rows of cells on white. Each picture is centred in a cell of `size` (width, height), which texts may exceed.

    A row or column of texts alone is only as high or wide as they are; rows may be of different lengths.
    """
    columns = max(map(len, rows))
    font = _font(max(12, size[1] // 14), "".join(cell for row in rows for cell in row if isinstance(cell, str)))
    widths, heights = [0] * columns, [0] * len(rows)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            width, height = _extent(cell, font, size)
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
                draw.multiline_text(at, cell, INK, font, anchor="mm", align="center")
            left += width + gap
        top += height + gap
    return made


def labelled(name: str, width: int) -> str:
    """A name that fits above a picture; of one that is too long the middle is left out, since names end in numbers."""
    fits = max(6, width // 7)
    return name if len(name) <= fits else f"{name[: fits // 2]}…{name[-((fits - 1) // 2) :]}"


def _extent(cell: Cell, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, size: tuple[int, int]) -> tuple[int, int]:
    if isinstance(cell, Image.Image):
        return max(cell.width, size[0]), max(cell.height, size[1])
    if not cell:
        return 0, 0
    left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), cell, font)
    return round(right - left) + 8, round(bottom - top) + 8


@cache
def _font(size: int, text: str) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font, which has few but English letters, or else one of the system that has those of the text."""
    own = ImageFont.load_default(size)
    fonts = [own]
    for name in FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size))
    return next((font for font in fonts if _has(font, text)), own)


def _has(font: ImageFont.ImageFont | ImageFont.FreeTypeFont, text: str) -> bool:
    missing = bytes(font.getmask("\U0010fffe"))
    return all(bytes(font.getmask(letter)) != missing for letter in {*text} if not letter.isspace())
