"""Write drawn faces in the form of CelebA: python -m i2i_stargan_v1.draw FOLDER [--split val] [--size 200].

FOLDER/photos/000001.png, ... are the pictures. FOLDER/list_attr.csv names the attributes of each, −1 or 1.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from .drawing import ATTRIBUTES
from .faces import GIVEN, SPLITS, Faces


def write_faces(folder: Path, faces: Faces) -> None:
    """Write the pictures and the table of a data set of faces."""
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    with open(folder / "list_attr.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image_id", *ATTRIBUTES])
        for index in range(faces.count(0)):
            record = faces.record(0, index, ("x", GIVEN), np.random.default_rng(0))
            name = f"{index + 1:06d}.png"
            record["x"].save(photos / name)
            table.writerow([name, *(f"{record[GIVEN][attribute]:g}" for attribute in ATTRIBUTES)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m i2i_stargan_v1.draw", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--size", type=int, default=200)
    given = parser.parse_args()
    write_faces(given.folder, Faces(split=given.split, size=given.size))


if __name__ == "__main__":
    main()
