"""Data set of pairs in the format of pix2pix: two pictures side by side in one file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from i2i_core.data.broken_files import find_broken
from i2i_core.data.decoding import open_picture
from i2i_core.data.formats.picture import Picture
from i2i_core.data.pictures import picture_files
from i2i_core.errors import DataError


class SideBySide:
    """Paired data set of pictures side by side: the left half belongs to one domain, the right half to the other.

    root: folder of such pictures, searched at any depth.
    domains: names of the domains of the left and right half.

    Raises ValueError if the folder is missing or has no pictures, if a picture cannot be read, or if both domains have
    the same name.
    """

    paired = True

    def __init__(self, *, root: Path, domains: tuple[str, str] = ("left", "right")) -> None:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}; root must contain pictures side by side")
        if domains[0] == domains[1]:
            raise ValueError(f"both domains have the name {domains[0]}; give them different names")
        self.domains, self.files = domains, picture_files(root)
        if not self.files:
            raise ValueError(f"{root} contains no pictures; root must contain pictures side by side")
        if broken := find_broken(self.files, Picture()):
            path, why = next(iter(broken.items()))
            raise ValueError(f"{path} cannot be read as a picture: {why}; repair or remove it")

    def count(self, domain: int) -> int:
        return len(self.files)

    def picture(self, domain: int, index: int) -> Image.Image:
        try:
            both = open_picture(self.files[index])
        except (OSError, ValueError) as error:
            raise DataError(f"the picture {self.files[index]} cannot be read any more: {error}") from error
        middle = both.width // 2
        return both.crop((0, 0, middle, both.height) if domain == 0 else (middle, 0, 2 * middle, both.height))
