"""Drawn faces with attributes, each of which has a colour of its own."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

ATTRIBUTES = ("Blond_Hair", "Eyeglasses", "Smiling", "Wearing_Hat")
"""Names of the attributes, which are names of CelebA's."""
PIXELS = 64
SCALE = 2
"""Faces are drawn at this multiple of their size and reduced, which smooths their edges."""
Colour = tuple[int, int, int]
BLOND, BROWN, RIMS, LIPS, HAT = (240, 200, 60), (90, 50, 25), (30, 60, 200), (180, 20, 50), (20, 140, 80)
WHITE, PUPIL = (255, 255, 255), (25, 25, 30)


def draw_face(attributes: Mapping[str, bool], rng: np.random.Generator) -> Image.Image:
    """Draw a face with attributes, an RGB picture of 64 x 64 pixels.

    rng: random numbers for everything else: place, width, skin, background and shirt.
    """
    dx, dy, wide, dark, *hues = rng.random(6)
    face = _Face(32 + 4 * (dx - 0.5), 35 + 4 * (dy - 0.5), 15 + 3 * wide)
    skin = tuple(round(a + (b - a) * dark) for a, b in zip((250, 215, 190), (200, 150, 125), strict=True))
    background, shirt = (_pastel(hue, value) for hue, value in zip(hues, (0.9, 0.6), strict=True))
    face.draw.rectangle((0, 0, PIXELS * SCALE, PIXELS * SCALE), background)
    face.ellipse(0, 34, 24, 14, shirt)
    hair = BLOND if attributes["Blond_Hair"] else BROWN
    face.ellipse(0, -2, face.width + 5, 23, hair)
    face.ellipse(0, 0, face.width, 20, (skin[0], skin[1], skin[2]))
    face.arc(0, -1, face.width + 3, 23, hair)
    for side in (-1, 1):
        face.ellipse(side * 6.5, -1, 2.6, 2.2, WHITE)
        face.ellipse(side * 6.5, -1, 1.4, 1.6, PUPIL)
    if attributes["Smiling"]:
        face.smile(10, 8.5, 8)
    else:
        face.box(-4, 11, 4, 12.6, LIPS)
    if attributes["Eyeglasses"]:
        for side in (-1, 1):
            face.ring(side * 6.5, -1, 6.2, 3)
        face.box(-1.5, -2, 1.5, 0, RIMS)
    if attributes["Wearing_Hat"]:
        face.dome(-13, face.width + 3, 15)
        face.box(-face.width - 7, -14, face.width + 7, -10, HAT)
    return face.picture.resize((PIXELS, PIXELS), Image.Resampling.BOX)


class _Face:
    """A picture on which shapes are drawn at places relative to the middle of the face, in pixels."""

    def __init__(self, x: float, y: float, width: float) -> None:
        self.x, self.y, self.width = x, y, width
        self.picture = Image.new("RGB", (PIXELS * SCALE, PIXELS * SCALE))
        self.draw = ImageDraw.Draw(self.picture)

    def _box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        x, y = self.x, self.y
        return ((x + left) * SCALE, (y + top) * SCALE, (x + right) * SCALE, (y + bottom) * SCALE)

    def _around(self, x: float, y: float, a: float, b: float) -> tuple[float, float, float, float]:
        return self._box(x - a, y - b, x + a, y + b)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.draw.rectangle(self._box(left, top, right, bottom), colour)

    def ellipse(self, x: float, y: float, a: float, b: float, colour: Colour) -> None:
        self.draw.ellipse(self._around(x, y, a, b), colour)

    def ring(self, x: float, y: float, radius: float, thickness: float) -> None:
        self.draw.ellipse(self._around(x, y, radius, radius), outline=RIMS, width=round(thickness * SCALE))

    def arc(self, x: float, y: float, a: float, b: float, colour: Colour) -> None:
        """Draw the fringe, the top of an ellipse."""
        self.draw.chord(self._around(x, y, a, b), 205, 335, colour)

    def smile(self, y: float, a: float, b: float) -> None:
        """Draw an open mouth, the lower half of an ellipse, with teeth."""
        self.draw.chord(self._around(0, y, a, b), 0, 180, LIPS)
        self.box(-0.7 * a, y, 0.7 * a, y + 1.8, WHITE)

    def dome(self, y: float, a: float, b: float) -> None:
        """Draw the crown of a hat, the upper half of an ellipse."""
        self.draw.chord(self._around(0, y, a, b), 180, 360, HAT)


def _pastel(hue: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.2, value)
    return round(255 * red), round(255 * green), round(255 * blue)
