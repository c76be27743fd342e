"""Sheet that shows a picture, its landmarks, and the picture under each mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .components import Heatmaps
from .face68 import SIZE, Face68
from .photographs import tensor_of

GAP, LINE, TEXT = 8, 28, 15  # px: gap between pictures, height of a line of text, size of its letters
DIM = 0.25  # brightness of a picture outside a mask
COLUMNS = ("picture", "landmarks", "mask of all parts", "mask of eyes and nose")


def sheet(picture: Image.Image, sources: Mapping[str, Face68 | Heatmaps], finder: Face68) -> Image.Image | None:
    """Draw one row for each source of masks, labelled with its name; return None if the picture shows no face."""
    whole = picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    pixels = tensor_of(whole, finder)
    if not finder.faces(pixels).all():
        return None
    step, row = SIZE + GAP, SIZE + GAP + LINE
    paper = Image.new("RGB", (len(COLUMNS) * step + GAP, len(sources) * row + GAP), "white")
    for i, (name, source) in enumerate(sources.items()):
        cells = [whole, _dotted(whole, source.landmarks(pixels)[0]), *(_under(whole, m[0, 0]) for m in source(pixels))]
        for j, (label, cell) in enumerate(zip(COLUMNS, cells, strict=True)):
            corner = GAP + j * step, i * row + LINE
            text = f"{name}: {label}" if j else label
            ImageDraw.Draw(paper).text(
                (corner[0], corner[1] - GAP // 2), text, "black", ImageFont.load_default(TEXT), anchor="ls"
            )
            paper.paste(cell, corner)
    return paper


def _dotted(picture: Image.Image, landmarks: Tensor) -> Image.Image:
    shown = picture.copy()
    for x, y in landmarks.tolist():
        ImageDraw.Draw(shown).ellipse((x - 2, y - 2, x + 1, y + 1), fill="lime", outline="black")
    return shown


def _under(picture: Image.Image, mask: Tensor) -> Image.Image:
    light = DIM + (1 - DIM) * mask.cpu().numpy()[..., None]
    return Image.fromarray((np.asarray(picture) * light).round().astype(np.uint8))
