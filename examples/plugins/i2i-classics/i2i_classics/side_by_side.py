"""Data set of pairs in the format of pix2pix: two pictures side by side in one file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from i2i_core.data.decoding.files import open_picture
from i2i_core.data.formats.picture import Picture
from i2i_core.data.looks import looks
from i2i_core.data.pictures import picture_files
from i2i_core.errors import DataError
from i2i_core.interfaces import Size


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
        self.halves = {domains[0]: "left", domains[1]: "right"}
        """The half of a file that belongs to each domain; translate takes that of the source."""
        self._sizes = {path: look.size for path, look in looks(self.files, Picture()).items() if not look.reason}
        if len(self._sizes) < len(self.files):
            path, look = next((path, look) for path, look in looks(self.files, Picture()).items() if look.reason)
            raise ValueError(f"{path} cannot be read as a picture: {look.reason}; repair or remove it")

    def count(self, domain: int) -> int:
        return len(self.files)

    def extents(self, domain: int) -> dict[Path, Size | None]:
        """Return the height and width in pixels of each half."""
        return {path: size and (size[0], size[1] // 2) for path, size in self._sizes.items()}

    def picture(self, domain: int, index: int) -> Image.Image:
        try:
            both = open_picture(self.files[index])
        except (OSError, ValueError) as error:
            raise DataError(f"the picture {self.files[index]} cannot be read any more: {error}") from error
        middle = both.width // 2
        return both.crop((0, 0, middle, both.height) if domain == 0 else (middle, 0, 2 * middle, both.height))
