"""A drawn data set of landscapes: label maps, ids of instances, and pictures in the light of different hours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from i2i_core.data.formats.labels import Labels
from i2i_core.interfaces import Format, Size, Value

Array = np.ndarray[Any, Any]
CLASSES = ("sky", "mountain", "grass", "water", "tree", "house")
SKY, MOUNTAIN, GRASS, WATER, TREE, HOUSE = range(len(CLASSES))
PALETTE = ((120, 190, 240), (130, 120, 130), (120, 200, 90), (40, 90, 200), (20, 110, 50), (200, 70, 60))
COUNTS = {"train": 2000, "val": 100}
LIGHTS = {
    "day": ((70, 140, 230), (190, 220, 245), (110, 105, 115), (105, 170, 60), (40, 110, 190), (30, 105, 40)),
    "autumn": ((150, 175, 200), (225, 225, 215), (120, 100, 90), (165, 150, 60), (95, 130, 150), (200, 100, 25)),
    "evening": ((95, 60, 130), (250, 150, 80), (80, 50, 80), (110, 95, 50), (180, 105, 100), (70, 60, 40)),
    "night": ((10, 12, 40), (35, 40, 85), (25, 28, 50), (20, 45, 40), (18, 28, 70), (10, 30, 30)),
    "winter": ((165, 185, 205), (225, 232, 240), (150, 155, 170), (228, 232, 240), (130, 165, 190), (95, 125, 115)),
}
"""Colours by light: the top and the foot of the sky, mountains, grass, water and leaves."""
WALLS = ((225, 205, 170), (205, 120, 95), (235, 235, 230), (240, 200, 90))
"""Colours of houses by day."""


@dataclass(frozen=True)
class Layout:
    """Places of the things in a scene."""

    labels: Array
    """Classes, (H, W)."""
    instances: Array
    """Ids, (H, W): the class, or for trees and houses a number of its own."""
    boxes: Mapping[int, tuple[float, float, float, float]]
    """Centre and half sides of each tree and house by its id: x, y, width, height in pixels."""


class Scenes:
    """Paired data set of drawn landscapes: label maps of six classes, and pictures in five lights.

    Domains: `labels`, one-hot label maps, and `photo`. The field `instance` has the ids of instances: trees and
    houses have numbers of their own, other pixels that of their class. The light, the colours of houses and the grain
    of a picture do not follow from its label map, so one map has many pictures.

    image_size: height and width in pixels. split: "train" (2,000 scenes) or "val" (100 others).
    """

    domains = ("labels", "photo")
    paired = True
    formats: Mapping[str, Format] = {"labels": Labels(classes=len(CLASSES), palette=PALETTE)}
    sizes: ClassVar[Mapping[str, Size]] = {}
    fields: Mapping[str, Format] = {"instance": Labels(one_hot=False)}

    def __init__(self, *, image_size: tuple[int, int], split: Literal["train", "val"] = "train") -> None:
        self.image_size, self.split = image_size, split

    def count(self, domain: int) -> int:
        return COUNTS[self.split]

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        own = np.random.default_rng((split_number(self.split), index))
        layout = laid_out(self.image_size, own)
        found: dict[str, Value] = {}
        if "x" in wanted:
            found["x"] = indexed(layout.labels) if domain == 0 else Image.fromarray(painted(layout, own))
        if "instance" in wanted:
            found["instance"] = Image.fromarray(layout.instances.astype(np.uint8))
        return found


def split_number(split: str) -> int:
    return list(COUNTS).index(split)


def indexed(labels: Array) -> Image.Image:
    """Return classes (H, W) as a picture with the palette of the classes."""
    picture = Image.fromarray(labels.astype(np.uint8), "L")
    picture.putpalette(np.array(PALETTE, np.uint8).tobytes())
    return picture


def laid_out(size: Size, rng: np.random.Generator) -> Layout:
    """Draw the classes and instances of a scene."""
    height, width = size
    y, x = np.mgrid[:height, :width] / np.array([[[height]], [[width]]])
    labels = np.full(size, SKY)
    ridge = 0.42 - 0.12 * np.sin(rng.uniform(4, 9) * x + rng.uniform(0, 6)) - 0.05 * np.sin(19 * x + rng.uniform(0, 6))
    labels[y > ridge] = MOUNTAIN
    horizon = rng.uniform(0.45, 0.6)
    labels[y > horizon + 0.02 * np.sin(8 * x + rng.uniform(0, 6))] = GRASS
    if rng.random() < 0.6:
        cx, cy = rng.uniform(0.1, 0.9), rng.uniform(horizon + 0.15, 0.95)
        lake = ((x - cx) / rng.uniform(0.2, 0.5)) ** 2 + ((y - cy) / rng.uniform(0.06, 0.15)) ** 2 < 1
        labels[lake & (labels == GRASS)] = WATER
    instances, boxes = labels.copy(), {}
    feet = sorted(rng.uniform(horizon, 0.98, rng.integers(3, 9)))
    for number, foot in enumerate(feet):  # from the back to the front
        kind, scale = (HOUSE if rng.random() < 0.3 else TREE), 0.6 + 1.2 * (foot - horizon)
        cx, w, h = rng.uniform(0.05, 0.95), rng.uniform(0.07, 0.11) * scale, rng.uniform(0.12, 0.2) * scale
        u, v = (x - cx) / w, (y - foot + h) / h
        crown, trunk = (u**2 + v**2 < 1) & (v < 0.8), (abs(u) < 0.15) & (v >= 0) & (v < 1)
        roof, wall = (abs(u) * 1.1 < v + 1) & (v < -0.2) & (v > -1), (abs(u) < 0.85) & (v >= -0.2) & (v < 0.7)
        there, number = (crown | trunk if kind == TREE else roof | wall), len(CLASSES) + number
        labels[there], instances[there] = kind, number
        boxes[number] = (cx * width, (foot - h) * height, w * width, h * height)
    return Layout(labels, instances, boxes)


def painted(layout: Layout, rng: np.random.Generator) -> Array:
    """Paint a scene in the light of some hour, uint8 (H, W, 3)."""
    height, width = layout.labels.shape
    rows, columns = np.mgrid[:height, :width].astype(float)
    light = list(LIGHTS)[rng.integers(len(LIGHTS))]
    top, foot, mountain, grass, water, leaves = (np.array(c, float) for c in LIGHTS[light])
    brightness = 0.35 if light == "night" else 1.0
    down = (rows / height)[..., None]
    picture = top + (foot - top) * np.clip(2 * down, 0, 1)
    snow = np.clip(1.5 - 5 * down, 0, 1) * brightness
    surfaces = {
        MOUNTAIN: mountain * (0.8 + 0.6 * down) * (1 - snow) + 240 * snow,
        GRASS: grass * (0.75 + 0.4 * down),
        WATER: water + 12 * np.sin(rows * 1.7 + 0.6 * np.sin(columns / 3))[..., None],
    }
    for kind, colour in surfaces.items():
        picture = np.where((layout.labels == kind)[..., None], colour, picture)
    for number, (cx, cy, w, h) in layout.boxes.items():
        u, v, there = (columns - cx) / w, (rows - cy) / h, layout.instances == number
        paint = _tree if TREE in layout.labels[there] else _house  # what is hidden has no pixels
        picture[there] = paint(u, v, leaves, brightness, rng)[there]
    grain = rng.normal(0, 1, layout.labels.shape) * np.array([1, 5, 9, 3, 12, 3])[layout.labels] * brightness
    return np.asarray((picture + grain[..., None]).clip(0, 255).round().astype(np.uint8))


def _tree(u: Array, v: Array, leaves: Array, brightness: float, rng: np.random.Generator) -> Array:
    """A crown lit from the upper left, and a trunk."""
    lit = np.clip(1.15 - 0.45 * (u + v), 0.4, 1.7)[..., None]
    trunk = ((v > 0.8) | ((v > 0.2) & (u**2 + v**2 >= 1)))[..., None]
    return np.where(trunk, np.array([85, 60, 40]) * brightness, leaves * lit)


def _house(u: Array, v: Array, leaves: Array, brightness: float, rng: np.random.Generator) -> Array:
    """A wall with two windows, lit at night, and a dark roof."""
    wall = np.array(WALLS[rng.integers(len(WALLS))]) * brightness
    pane = np.array([250, 210, 90] if brightness < 1 else [60, 70, 90])
    window = ((abs(abs(u) - 0.42) < 0.2) & (abs(v - 0.15) < 0.18))[..., None]
    return np.where((v < -0.2)[..., None], np.array([110, 55, 50]) * brightness, np.where(window, pane, wall))
