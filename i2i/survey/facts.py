"""The facts about a data set: domains, sizes, likenesses, files that are left out, and notes with what to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i.survey import likeness
from i2i.survey.notes import Note, folders_inside, notes_on
from i2i.survey.pairs import look_like_pairs
from i2i_core.data.datasets.file_records import FileRecords
from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.datasets.splits import split_of
from i2i_core.data.walking import all_files
from i2i_core.interfaces import Dataset, RecordDataset

Files = list[str]


@dataclass
class DomainFacts:
    """Facts about the pictures of a domain; lists have the least, the median and the greatest."""

    pictures: int
    broken: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Widths and heights in pixels, by the number of pixels; empty if files have none."""
    aspects: list[float] = field(default_factory=list)
    """Width / height."""
    transparent: int = 0
    """Number of pictures with transparent parts."""
    folders: dict[str, int] = field(default_factory=dict)
    """Number of pictures in each folder inside the domain's, which is called "."."""
    unread: dict[str, int] = field(default_factory=dict)
    """Number of pictures that are not read, by suffix."""


@dataclass
class Facts:
    """Facts about a data set."""

    data: str
    """Its folder or list, or the name of its component."""
    domains: dict[str, DomainFacts]
    paired: bool
    look_like_pairs: bool | None = None
    """True if files of one name look like pairs; None for declared pairs, and for files that cannot be compared."""
    notes: list[Note] = field(default_factory=list)
    broken: list[dict[str, str]] = field(default_factory=list)
    """The files that cannot be used, each as `file` with its `reason`."""
    duplicates: list[Files] = field(default_factory=list)
    """Groups of files with the same bytes."""
    near_duplicates: list[Files] = field(default_factory=list)
    """Groups of pictures that look the same, or nearly so."""
    in_several_splits: list[Files] = field(default_factory=list)
    """Groups of duplicates and near-duplicates that are in several splits: in training and held out."""
    ignored: Files = field(default_factory=list)
    """Files that belong to no record."""


def facts_of(dataset: Dataset | RecordDataset, name: str) -> Facts:
    """Return the facts about a data set. Of one that is not made of files, only pictures are counted."""
    domains = {domain: DomainFacts(dataset.count(y)) for y, domain in enumerate(dataset.domains)}
    facts = Facts(name, domains, dataset.paired)
    if not isinstance(dataset, FileRecords):
        return facts
    appearances = appearances_of(dataset)
    for y, domain in enumerate(domains):
        _add_domain(domains[domain], dataset, y, appearances)
    if isinstance(dataset, ImageFolders) and not dataset.paired:
        facts.look_like_pairs = look_like_pairs(dataset)
    facts.notes = [*notes_on(dataset, facts.look_like_pairs)]
    facts.broken = [{"file": str(path), "reason": reason} for path, reason in dataset.broken.items()]
    same, near = alike([dataset], appearances)
    facts.duplicates, facts.near_duplicates = _named(same), _named(near)
    facts.notes += [*_likenesses(same, near)]
    if isinstance(dataset, ImageFolders):
        facts.ignored = [str(path) for path in _ignored(dataset)]
        splits = {path: split_of(d)[0] for d, of in zip(dataset.domains, dataset.files, strict=True) for path in of}
        facts.in_several_splits = _named(_in_several(splits, [*same, *near]))
    return facts


def _likenesses(same: Sequence[Sequence[Path]], near: Sequence[Sequence[Path]]) -> Iterator[Note]:
    """Note how many files are alike."""
    found = [
        f"{sum(map(len, groups))} files in {len(groups)} group{'s' * (len(groups) > 1)} {what}"
        for groups, what in ((same, "have the same bytes"), (near, "look the same or nearly so"))
        if groups
    ]
    if found:
        yield Note("likeness", f"{' and '.join(found)}; remove what is too much; i2i data split keeps groups together")


def facts_of_both(train: FileRecords, held_out: FileRecords, name: str) -> Facts:
    """Return the pictures that are in both data sets, as facts without domains."""
    groups = [
        group for found in alike([train, held_out], appearances_of(train) | appearances_of(held_out)) for group in found
    ]
    splits = {
        path: split for split, of in (("train", train), ("val", held_out)) for files in of.files for path in files
    }
    return Facts(name, {}, train.paired, in_several_splits=_named(_in_several(splits, groups)))


def appearances_of(dataset: FileRecords) -> dict[Path, likeness.Appearance]:
    """Return the appearances of the usable pictures of a data set."""
    found: dict[Path, likeness.Appearance] = {}
    for domain, of in zip(dataset.domains, dataset.files, strict=True):
        found |= likeness.appearances([path for path in of if path not in dataset.broken], dataset.formats[domain])
    return found


def alike(
    datasets: Sequence[FileRecords], appearances: dict[Path, likeness.Appearance]
) -> tuple[list[list[Path]], list[list[Path]]]:
    """Return the groups of files with the same bytes, and the groups of other pictures that look nearly the same.

    The domains of pairs are compared each for itself, since a translation may well look nearly like its source.
    """
    same = likeness.same_bytes(dict.fromkeys(path for of in datasets for path in (*of.broken, *sum(of.files, []))))
    others = {path for group in same for path in group[1:]}
    parts: dict[str, list[Path]] = {}
    for of in datasets:
        for domain, files in zip(of.domains, of.files, strict=True):
            parts.setdefault(domain if of.paired else "", []).extend(files)
    near = [
        group
        for part in {frozenset(part) for part in parts.values()}  # one of both halves, where a file holds a pair
        for group in likeness.near_groups(
            {path: appearances[path] for path in sorted(part) if path in appearances and path not in others}
        )
    ]
    return same, sorted(near)


def _add_domain(facts: DomainFacts, dataset: FileRecords, y: int, appearances: dict[Path, likeness.Appearance]) -> None:
    domain = dataset.domains[y]
    facts.broken = dataset.broken_pictures[y]
    facts.unread = dict(Counter(path.suffix.lower() for path in dataset.unread.get(domain, ())))
    sizes = sorted((size[1], size[0]) for size in dataset.extents(y).values() if size)
    if sizes:
        facts.sizes = _three(sorted(sizes, key=lambda size: size[0] * size[1]))
        facts.aspects = [round(aspect, 3) for aspect in _three(sorted(w / h for w, h in sizes))]
    facts.transparent = sum(path in appearances and appearances[path].transparent for path in dataset.files[y])
    if isinstance(dataset, ImageFolders):
        facts.folders = folders_inside(dataset, y)


def _three(values: Sequence[Any]) -> list[Any]:
    return [values[0], values[(len(values) - 1) // 2], values[-1]]


def _named(groups: Iterable[Sequence[Path]]) -> list[Files]:
    return [[str(path) for path in group] for group in groups]


def _in_several(splits: dict[Path, str], groups: Iterable[list[Path]]) -> list[list[Path]]:
    """Return the groups whose pictures are in several splits; "" is none."""
    return [group for group in groups if len({splits.get(path, "") for path in group} - {""}) > 1]


def _ignored(dataset: ImageFolders) -> Iterator[Path]:
    """Yield the files that no format of the data set reads, and those beside its folders."""
    suffixes = {suffix for form in (*dataset.formats.values(), *dataset.fields.values()) for suffix in form.suffixes}
    there = {path for folder in (dataset.root, *dataset.places.values()) for path in all_files(folder)}
    for path in sorted(there - dataset.used()):
        if path.suffix.lower() not in suffixes or path.parent == dataset.root:
            yield path
