"""Read pictures with libvips: `python tests/second_reader.py FOLDER` writes the RGB pixels of each file as .npy.

It is a process of its own, because libvips and other libraries with the same parts inside do not go together.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyvips


def pixels(path: Path, profile: str) -> np.ndarray[Any, Any]:
    """Return what a viewer shows: upright, in sRGB, on white. profile: that of CMYK without one, or none."""
    picture = pyvips.Image.new_from_file(str(path)).autorot()
    if "icc-profile-data" in picture.get_fields() or profile != "none":
        how = {"embedded": True, "intent": "relative", "black_point_compensation": True}
        picture = picture.icc_transform("srgb", **how, **({"input_profile": profile} if profile != "none" else {}))
    picture = picture.colourspace("srgb")
    picture = picture.flatten(background=255) if picture.hasalpha() else picture
    return np.asarray(picture.cast("uchar").numpy())[..., :3]


if __name__ == "__main__":
    folder, profile = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "none"
    if profile != "none":
        (folder / "profile.icc").write_bytes(pyvips.Operation.call("profile_load", profile))
    for path in sorted(folder.iterdir()):
        if path.suffix in (".npy", ".icc"):
            continue
        try:
            np.save(folder / f"{path.name}.npy", pixels(path, profile))
        except pyvips.Error:  # a kind that it does not read
            continue
