"""Notes on a data set: what is unusual about it, and what to write in a recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i.survey.pairs import Doubles, doubles_in, same_names, without_partner
from i2i_core.data.datasets.file_records import FileRecords
from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.datasets.splits import Advice, as_yaml, split_advice
from i2i_core.data.decoding.colours import numbers_of
from i2i_core.data.decoding.files import decode_numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.data.walking import folders_in, not_read
from i2i_core.errors import counted

LOOKED_AT, FEW_LEVELS, NAMED = 10, 64, 5
"""Numbers: files of a domain that are searched for class ids, a level these do not reach, files that a note names."""
IMAGES = ("imgs", "images", "img", "image", "photos", "pictures")
"""Names of the folder inside a domain that holds its pictures, where others hold masks or boxes."""


@dataclass
class Note:
    """Something unusual about a data set."""

    about: str
    """Its kind: splits, folders, pairs, partners, labels, unread or likeness."""
    text: str
    write: str = ""
    """The lines to write in the recipe, as YAML, or ""."""


def notes_on(dataset: FileRecords, pairs: bool | None) -> Iterator[Note]:
    """Yield the notes on a data set of files. pairs: whether files of one name look like pairs, if that is known."""
    if isinstance(dataset, ImageFolders):
        yield from [*_splits(dataset, pairs)] or [*_folders(dataset)] or _pairs(dataset, pairs)
    yield from _labels(dataset)
    for domain, paths in dataset.unread.items():
        if paths:
            yield Note("unread", f"{not_read(paths, f'the domain {domain}')}; convert them to .png, or remove them")


def _splits(dataset: ImageFolders, pairs: bool | None) -> Iterator[Note]:
    if not _as_called(dataset):
        return
    advice = split_advice(dataset.root, [*dataset.domains])
    if doubles := doubles_in(dataset.root):
        yield Note("splits", f"{doubles.says}; {'write' if doubles.likely else 'if they are, write'}", _yaml(doubles))
    elif advice and [*advice.write.get("domains", ())] == [*dataset.domains] and same_names(dataset):
        if pairs:
            yield Note("splits", f"{advice.says}, and files of one name look like pairs; write", _yaml(advice, True))
        else:
            but = ", which they do not look like" * (pairs is False)
            also = f"paired: true if files of one name are pairs{but}"
            yield Note("splits", f"{advice.says}; write, and {also}", _yaml(advice))
    elif advice:
        yield Note("splits", f"{advice.says}; write", _yaml(advice))


def _yaml(advice: Advice | Doubles, paired: bool = False) -> str:
    return as_yaml({**advice.write, **({"paired": True} if paired else {})})


def _folders(dataset: ImageFolders) -> Iterator[Note]:
    """Note domains with pictures in several folders, some of which may hold masks or thumbnails."""
    inside = {name: folders_inside(dataset, y) for y, name in enumerate(dataset.domains)}
    several = {name: folders for name, folders in inside.items() if len(folders) > 1}
    for name, folders in several.items():
        said = ", ".join(f"{count} in {folder}" for folder, count in [*folders.items()][:10])
        more = f" and {len(folders) - 10} more folders" if len(folders) > 10 else ""
        yield Note("folders", f"the pictures of {name} lie in {len(folders)} folders: {said}{more}")
    chosen = next((name for name in IMAGES if several and all(name in folders for folders in several.values())), None)
    if chosen is not None:
        chosen_folders = {name: f"{_below(dataset, name)}{f'/{chosen}' * (name in several)}" for name in inside}
        yield Note("folders", f"to take only {chosen}, write", as_yaml(_keys(dataset, chosen_folders)))


def folders_inside(dataset: ImageFolders, y: int) -> dict[str, int]:
    """Return the number of pictures in each folder directly inside a domain's; its own is called "."."""
    place = dataset.places[dataset.domains[y]]
    inside = (path.relative_to(place).parts for path in dataset.files[y])
    return dict(sorted(Counter(parts[0] if len(parts) > 1 else "." for parts in inside).items()))


def _pairs(dataset: ImageFolders, pairs: bool | None) -> Iterator[Note]:
    """Note domains whose files have the same names, which are pairs or a coincidence."""
    if dataset.paired:
        return
    if count := same_names(dataset):
        so = {None: ": if those are pairs", True: ", which look like pairs", False: ", which do not look like pairs"}
        todo = {None: ", write", True: "; write", False: "; if they are, write"}
        yield Note(
            "pairs", f"all domains have files of the same {count} names{so[pairs]}{todo[pairs]}", _paired(dataset)
        )
    elif lone := without_partner(dataset):
        named = ", ".join(path.relative_to(dataset.root).as_posix() for path in lone[:NAMED])
        more = f" and {len(lone) - NAMED} more" if len(lone) > NAMED else ""
        has = f"{counted(len(lone), 'file')} {'has' if len(lone) == 1 else 'have'}"
        yield Note(
            "partners",
            f"files of one name look like pairs, but {has} no partner: {named}{more}; remove or rename them, and write",
            _paired(dataset),
        )


def _paired(dataset: ImageFolders) -> str:
    return as_yaml({**_keys(dataset, {name: _below(dataset, name) for name in dataset.domains}), "paired": True})


def _labels(dataset: FileRecords) -> Iterator[Note]:
    """Note domains of RGB pictures whose files look like class ids: grey and of low levels."""
    for domain, paths in _files(dataset):
        if dataset.formats[domain] != Picture() or not paths:
            continue
        try:
            tops = [_top(path) for path in paths[:: len(paths) // LOOKED_AT + 1]]
        except ValueError:  # several pages, or floats: pictures, and no class ids
            continue
        if max(tops) < FEW_LEVELS:
            form = {"format": {"use": "labels", "classes": max(tops) + 1}}
            text = (
                f"the files of {domain} are grey with levels up to {max(tops)}, and would be seen nearly black: if "
                f"these are class ids, give the domain the format labels"
            )
            yield Note("labels", f"{text}; write", as_yaml(_labelled(dataset, domain, form)))


def _top(path: Path) -> int:
    """Return the greatest level of a grey picture; for colours, more than any level."""
    picture = decode_numbers(path)
    return int(numbers_of(picture).max()) if picture.mode in ("L", "I;16") else 2**16


def _labelled(dataset: FileRecords, domain: str, form: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(dataset, ImageFolders):
        return {"domains": {name: form if name == domain else {} for name in dataset.domains}}
    folders: dict[str, Any] = {name: _below(dataset, name) for name in dataset.domains}
    keys = _keys(dataset, {**folders, domain: {"folder": folders[domain], **form}})
    others = [name for name in dataset.domains if name != domain]
    return {**keys, "targets": {domain: others[0]}} if len(others) == 1 else keys


def _keys(dataset: ImageFolders, domains: dict[str, Any]) -> dict[str, Any]:
    return {"use": "image_folders", "root": str(dataset.root), "domains": domains}


def _files(dataset: FileRecords) -> Iterator[tuple[str, list[Path]]]:
    return zip(dataset.domains, dataset.files, strict=True)


def _below(dataset: ImageFolders, domain: str) -> str:
    """Return the folder of a domain as a recipe names it."""
    place = dataset.places[domain]
    return (place.relative_to(dataset.root) if place.is_relative_to(dataset.root) else place).as_posix()


def _as_called(dataset: ImageFolders) -> bool:
    """Return True if the domains are all folders of the root, as they are without the key `domains`."""
    return [*dataset.places.items()] == [(name, dataset.root / name) for name in folders_in(dataset.root)]
