"""The data set of drawn faces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from i2i_core.data.formats.numbers import Numbers
from i2i_core.interfaces import Format, Size, Value

from .drawing import ATTRIBUTES, draw_face

GIVEN = "given"
SPLITS = ("train", "val")


class Faces:
    """Drawn faces, 64 x 64 pixels, with attributes in the field `given`: −1 or 1, as in CelebA.

    The attributes Blond_Hair, Eyeglasses, Smiling and Wearing_Hat are independent of each other, and each is true for
    half of the faces. Place, width, skin, background and shirt vary, too. A face is a function of its index.

    split: "train" or "val", which share no faces.
    size: number of faces.
    """

    domains, paired = ("faces",), False
    formats: Mapping[str, Format] = {}
    sizes: Mapping[str, Size] = {}
    fields: Mapping[str, Format] = {GIVEN: Numbers(names=ATTRIBUTES, range=(-1.0, 1.0))}

    def __init__(self, *, split: Literal["train", "val"] = "train", size: PositiveInt = 2000) -> None:
        self.split, self.size = split, size

    def count(self, domain: int) -> int:
        return self.size

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        """Return fields of face number `index`. It makes no use of `rng`."""
        own = np.random.default_rng((SPLITS.index(self.split), index))
        given = dict(zip(ATTRIBUTES, (own.random(len(ATTRIBUTES)) < 0.5).tolist(), strict=True))
        found: dict[str, Value] = {GIVEN: {name: 1.0 if true else -1.0 for name, true in given.items()}}
        if "x" in wanted:
            found["x"] = draw_face(given, own)
        return {field: found[field] for field in wanted}

    def fingerprint(self) -> str:
        """Return a text that identifies the faces."""
        return f"faces of stargan_v1, {self.split}, {self.size}"
