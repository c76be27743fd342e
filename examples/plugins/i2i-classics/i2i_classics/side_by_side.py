"""Pairs as pix2pix has them: one file, two pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from i2i_core.data.image_folders import find_broken
from i2i_core.data.pictures import open_picture, picture_files
from i2i_core.errors import DataError


class SideBySide:
    """Pictures of which the left half is one domain and the right half the other: true pairs.

    root: a folder of such pictures, at any depth. domains: what to call left and right.

    ValueError: a folder that is missing or without pictures, a picture that cannot be read, one name for both halves.
    """

    paired = True

    def __init__(self, *, root: Path, domains: tuple[str, str] = ("left", "right")) -> None:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}; root must hold pictures of two halves")
        if domains[0] == domains[1]:
            raise ValueError(f"both halves are called {domains[0]}; give each a name of its own in domains")
        self.domains, self.files = domains, picture_files(root)
        if not self.files:
            raise ValueError(f"{root} holds no pictures; root must hold pictures of two halves")
        if broken := find_broken(self.files):
            path, why = next(iter(broken.items()))
            raise ValueError(f"{path} is no usable picture: {why}; repair or remove it")

    def count(self, domain: int) -> int:
        return len(self.files)

    def picture(self, domain: int, index: int) -> Image.Image:
        try:
            both = open_picture(self.files[index])
        except (OSError, ValueError) as error:
            raise DataError(f"the picture {self.files[index]} cannot be read any more: {error}") from error
        middle = both.width // 2
        return both.crop((0, 0, middle, both.height) if domain == 0 else (middle, 0, 2 * middle, both.height))
