"""Data set of pairs in the format of pix2pix: two pictures side by side in one file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

from i2i_core.data.datasets.file_records import FileRecords
from i2i_core.data.fitting import half_of
from i2i_core.data.formats.picture import Picture
from i2i_core.data.pictures import SUFFIXES
from i2i_core.data.walking import all_files, not_read, unread_pictures
from i2i_core.interfaces import Size, Value


class SideBySide(FileRecords):
    """Paired data set of pictures side by side: the left half belongs to one domain, the right half to the other.

    root: folder of such pictures, searched at any depth.
    domains: names of the domains of the left and right half.
    broken: "refuse" raises an error for broken files, "skip" leaves them out with a warning, and "repair" does so too,
        but takes pictures of which a part is there, such as a JPEG that is cut short.
    min_size: least number of pixels of the shorter side; smaller files count as broken.

    Raises ValueError if the folder is missing or has no pictures, if a picture is broken, or if both domains have the
    same name.
    """

    def __init__(
        self,
        *,
        root: Path,
        domains: tuple[str, str] = ("left", "right"),
        broken: Literal["refuse", "skip", "repair"] = "refuse",
        min_size: int = 8,
    ) -> None:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}; root must contain pictures side by side")
        left, right = domains
        if left == right:
            raise ValueError(f"both domains have the name {left}; give them different names")
        there = all_files(root)
        files = [path for path in there if path.name.lower().endswith(SUFFIXES)]
        if not files:
            raise ValueError(f"{root} contains no pictures; root must contain pictures side by side")
        super().__init__(
            root, dict.fromkeys(domains, Picture()), {}, [files, files], paired=True, broken=broken, min_size=min_size
        )
        self.halves = {left: "left", right: "right"}
        """The half of a file that belongs to each domain; translate takes that of the source."""
        self._leave_out_broken()
        if unread := unread_pictures(there, SUFFIXES):
            warnings.warn(not_read(unread, root), stacklevel=2)

    def extents(self, domain: int) -> dict[Path, Size | None]:
        """Return the height and width in pixels of each half."""
        return {path: size and (size[0], size[1] // 2) for path, size in super().extents(domain).items()}

    def _value(self, domain: int, index: int, field: str) -> Value:
        return half_of(super()._value(domain, index, field), "right" if domain else "left")
