"""A split of the pictures of folders into training and held-out ones, as a list."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from i2i.survey.facts import alike, appearances_of
from i2i.survey.likeness import joined
from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.datasets.splits import TRAIN
from i2i_core.errors import DataError


def split_pictures(dataset: ImageFolders, parts: Mapping[str, float], seed: int = 0) -> dict[Path, str]:
    """Return the split of each picture: "train", or one of `parts`.

    What belongs together stays on one side: pictures of one name in several domains, duplicates, and pictures that look
    the same. The choice depends on the seed and on names alone. Raises DataError if a domain is left without pictures.

    parts: for each held-out split its share of each domain's pictures if below 1, or else their number.
    """
    domain_of = {path: y for y, of in enumerate(dataset.files) for path in of}
    same, near = alike([dataset], appearances_of(dataset))
    together = joined([*_namesakes(dataset), *same, *near])
    alone = domain_of.keys() - {path for group in together for path in group}
    groups = [[path for path in group if path in domain_of] for group in together] + [[path] for path in alone]
    found = dict.fromkeys(domain_of, TRAIN)
    room = {
        (split, y): max(1, round(share * len(of))) if share < 1 else round(share)
        for split, share in parts.items()
        for y, of in enumerate(dataset.files)
    }
    for group in sorted(filter(None, groups), key=lambda group: _drawn(seed, group, dataset.root)):
        counts = Counter(domain_of[path] for path in group)
        fitting = (split for split in parts if all(room[split, y] >= number for y, number in counts.items()))
        if (split := next(fitting, None)) is not None:
            found |= dict.fromkeys(group, split)
            for y, number in counts.items():
                room[split, y] -= number
    for split in (TRAIN, *parts):
        for domain, of in zip(dataset.domains, dataset.files, strict=True):
            if not any(found[path] == split for path in of):
                raise DataError(
                    f"the split {split} would have no picture of {domain}, which has {len(of)}, those that look the "
                    f"same or have one name kept together; choose another share"
                )
    return found


def list_of(dataset: ImageFolders, splits: Mapping[Path, str], file: Path) -> str:
    """Return the list of a split as CSV, with paths relative to the folder of the list `file`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "domain", "split"] + ["pair"] * dataset.paired)
    for domain, of in zip(dataset.domains, dataset.files, strict=True):
        for number, path in enumerate(of):
            relative = Path(os.path.relpath(path, file.parent)).as_posix()
            rows.writerow([relative, domain, splits[path]] + [number] * dataset.paired)
    return text.getvalue()


def _namesakes(dataset: ImageFolders) -> list[list[Path]]:
    """Return the groups of pictures that have one name below the folders of their domains."""
    named: dict[Path, list[Path]] = {}
    for domain, of in zip(dataset.domains, dataset.files, strict=True):
        for path in of:
            named.setdefault(path.relative_to(dataset.places[domain]).with_suffix(""), []).append(path)
    return [group for group in named.values() if len(group) > 1]


def _drawn(seed: int, group: Sequence[Path], root: Path) -> str:
    """Return a text that orders groups at random, by the name of the first file alone."""
    first = min(path.relative_to(root).as_posix() for path in group)
    return hashlib.sha256(os.fsencode(f"{seed} {first}")).hexdigest()
