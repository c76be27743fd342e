"""Counts of the faces that `i2i align` and the masks of face68 find in pictures of people, of animals, of things.

    python -m benchmarks.faces FOLDER [SET ...] [--turns 0,90,180] [--longest 320]

Each subfolder of FOLDER is a set of pictures; SET names some of them. Each picture is tried as it is and turned, and
with --longest shrunk before. The columns are

    align     pictures of which `i2i align` makes a crop, with the face upright in it or not
    same      those where the face is the one of the unturned picture: landmarks differ by less than a fifth of its size
    masks     pictures whose aligned crop, turned, gets masks: what a model would see
    whole     pictures that get masks as they are, squeezed to a square
    seconds   median of the CPU seconds of align, per picture

    python -m benchmarks.faces --masks

prints the milliseconds per picture of both sources of masks at 256 px, measured in turns on one thread.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from i2i_core.data.decoding.files import read_picture
from i2i_core.data.pictures import find_pictures
from i2i_core.errors import DataError
from i2i_fan_mask.align import Array, crop, read_mean, similarity
from i2i_fan_mask.face68 import Face68
from i2i_fan_mask.fan import FAN
from i2i_fan_mask.masks import masks
from i2i_fan_mask.photographs import aligned_landmarks, find_landmarks

SAME = 0.2


@dataclass
class Count:
    """Counts of a set of pictures at one turn."""

    pictures: int = 0
    align: int = 0
    same: int = 0
    masks: int = 0
    whole: int = 0
    seconds: list[float] = field(default_factory=list)

    def row(self) -> list[object]:
        seconds = statistics.median(self.seconds) if self.seconds else math.nan
        return [self.pictures, self.align, self.same, self.masks, self.whole, f"{seconds:.2f}"]


def turned(picture: Image.Image, degrees: int) -> Image.Image:
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="grey")


def turned_back(points: Array, degrees: int, before: Image.Image, after: Image.Image) -> Array:
    """Return where points of a turned picture were before."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    back: Array = (points - np.array(after.size) / 2) @ turn + np.array(before.size) / 2
    return back


def measure(paths: Sequence[Path], turns: Sequence[int], longest: int, finder: Face68) -> dict[int, Count]:
    """Count the faces found in pictures at each turn, shrunk to `longest` px if they are larger."""
    counts = {degrees: Count() for degrees in turns}
    for path in paths:
        picture = read_picture(path)
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        first = find_landmarks(picture, finder, finder)
        aligned = None if first is None else crop(picture, similarity(first, read_mean()))
        for degrees, count in counts.items():
            after = turned(picture, degrees)
            start = time.process_time()
            found = find_landmarks(after, finder, finder)
            count.seconds.append(time.process_time() - start)
            count.pictures += 1
            count.align += found is not None
            if found is not None and first is not None:
                apart = np.linalg.norm(turned_back(found, degrees, picture, after) - first, axis=1).mean()
                count.same += bool(apart < SAME * np.linalg.norm(first - first.mean(0), axis=1).mean())
            if aligned is not None:
                count.masks += aligned_landmarks(turned(aligned, degrees), finder, finder) is not None
            count.whole += aligned_landmarks(after, finder, finder) is not None
    return counts


def seconds_of_masks(finder: Face68, batch: int = 4, rounds: int = 15) -> dict[str, float]:
    """Return the median seconds per picture of the masks of face68 and of FAN, whose weights do not change its time."""
    fan, of = FAN().eval(), torch.rand(batch, 3, 256, 256) * 2 - 1
    sources = {"face68": finder, "FAN": lambda pictures: masks(fan(pictures))}
    taken: dict[str, list[float]] = {name: [] for name in sources}
    with torch.no_grad():
        for _ in range(rounds):
            for name, source in sources.items():
                start = time.process_time()
                source(of)
                taken[name].append((time.process_time() - start) / batch)
    return {name: statistics.median(found) for name, found in taken.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faces", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("sets", nargs="*", metavar="SET")
    parser.add_argument("--turns", default="0,45,90,180", metavar="DEGREES", help="counterclockwise (0,45,90,180)")
    parser.add_argument("--longest", type=int, default=2**16, metavar="PIXELS", help="longer side of a picture")
    parser.add_argument("--masks", action="store_true", help="measure the time of masks instead")
    options = parser.parse_args(arguments)
    turns = [int(degrees) for degrees in options.turns.split(",")]
    torch.set_num_threads(1)
    finder = Face68()
    if options.masks:
        print(", ".join(f"{name} {1000 * taken:.0f} ms" for name, taken in seconds_of_masks(finder).items()))
        return 0
    if options.folder is None:
        parser.error("name a folder of sets of pictures, or --masks")
    names = options.sets or sorted(path.name for path in options.folder.iterdir() if path.is_dir())
    print("| set | turned by | pictures | align | same | masks | whole | seconds |", "|---" * 8 + "|", sep="\n")
    for name in names:
        try:
            counts = measure(list(find_pictures([str(options.folder / name)])), turns, options.longest, finder)
        except DataError as error:
            parser.error(str(error))
        for degrees, count in counts.items():
            print("|", " | ".join(map(str, [name, degrees, *count.row()])), "|", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
