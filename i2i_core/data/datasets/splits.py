"""Folders that are called like splits, such as trainA and testA: what they mean, and what to write for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from i2i_core.data.pictures import picture_files
from i2i_core.data.walking import folders_in
from i2i_core.disk.unknown import open_regular

TRAIN = "train"
HELD_OUT = ("val", "valid", "validation", "dev", "eval", "test", "testing")
"""Names of held-out splits, in the order in which one is chosen for `validation`."""
_WORD = rf"(?i:(?P<split>training|train|{'|'.join(sorted(HELD_OUT, key=len, reverse=True))}))"
_NAMES = (re.compile(rf"{_WORD}(?![a-z])[_\-. ]?(?P<rest>.*)"), re.compile(rf"(?P<rest>.+)[_\-. ]{_WORD}"))
_NO_DOMAIN = ("", "set", "data", "dataset", "images")
"""Texts after the name of a split that are no names of domains, as in training_set."""


@dataclass(frozen=True)
class Advice:
    """An unusual layout of a data set, and the keys of `data` that suit it."""

    says: str
    write: Mapping[str, Any]


def split_of(name: str) -> tuple[str, str]:
    """Return the split that a folder is called after, and its domain: ("train", "A"), ("val", ""), or ("", name)."""
    for pattern in _NAMES:
        if found := pattern.fullmatch(name):
            split, rest = found["split"].lower(), found["rest"]
            return TRAIN if split == "training" else split, "" if rest.lower() in _NO_DOMAIN else rest
    return "", name


def split_advice(root: Path, folders: Sequence[str]) -> Advice | None:
    """Return what to write if folders below `root` are splits instead of domains; None if they do not look so."""
    splits: dict[str, dict[str, str]] = {}
    for folder in folders:
        split, domain = split_of(folder)
        if split:
            splits.setdefault(split, {})[domain] = folder
    train, held_out = splits.get(TRAIN), next((splits[name] for name in HELD_OUT if name in splits), None)
    if train is None or (held_out is None and [*train] != [""]):
        return None if splits else _of_splits_inside(root, folders)
    names = _some([*train.values(), *(held_out or {}).values()])
    called = f"the folders {names} of {root} are called like splits"
    if [*train] == [""]:
        return _of_whole_splits(root, train[""], (held_out or {}).get(""), called)
    keys: dict[str, Any] = {"use": "image_folders", "root": str(root), "domains": train}
    if held_out and train.keys() <= held_out.keys():
        keys["validation"] = {"domains": {name: held_out[name] for name in train}}
    return Advice(f"{called}, and each would be a domain", keys)


def _of_whole_splits(root: Path, train: str, held_out: str | None, called: str) -> Advice | None:
    """Return the advice for a folder `train`, which holds the folders of the domains, or pictures."""
    use, inside = "image_folders", folders_in(root / train)
    validation = {} if held_out is None else {"validation": {"root": str(root / held_out)}}
    if inside:
        says = f"{called}, and {train} holds the folders {_some(inside)}: root is one level too high"
        return Advice(says, {"use": use, "root": str(root / train), **validation})
    if held_out is None:
        return None
    if _are_double(root / train):
        keys = {"use": "classics/side_by_side", "root": str(root / train), "domains": ["A", "B"], "targets": {"A": "B"}}
        says = f"{called}, and hold pictures that are twice as wide as high, as pairs side by side are"
        return Advice(says, {**keys, **validation})
    keys = {"use": use, "root": str(root), "domains": {"pictures": train}, "targets": {"pictures": "pictures"}}
    says = f"{called}, and hold pictures: two splits of one domain"
    return Advice(says, {**keys, "validation": {"domains": {"pictures": held_out}}})


def _are_double(folder: Path) -> bool:
    """Return True if the first picture of a folder is twice as wide as high, by its header alone."""
    with suppress(OSError, ValueError, Image.DecompressionBombError):
        for path in picture_files(folder)[:1]:
            with open_regular(path) as stream, Image.open(stream) as file:
                return file.width == 2 * file.height
    return False


def _of_splits_inside(root: Path, domains: Sequence[str]) -> Advice | None:
    """Return the advice for domains that all hold the same splits, as A/train, A/val, B/train and B/val."""
    inside = [{split_of(folder)[0]: folder for folder in folders_in(root / domain)} for domain in domains]
    shared = set(inside[0]).intersection(*inside) - {""} if inside else set[str]()
    held_out = next((name for name in HELD_OUT if name in shared), None)
    if TRAIN not in shared or held_out is None:
        return None

    def folders(split: str) -> dict[str, str]:
        return {domain: f"{domain}/{of[split]}" for domain, of in zip(domains, inside, strict=True)}

    keys = {"domains": folders(TRAIN), "validation": {"domains": folders(held_out)}}
    says = f"each domain of {root} holds the splits {_some(sorted(shared))}, and training would take them all"
    return Advice(says, {"use": "image_folders", "root": str(root), **keys})


def naming_advice(train: Sequence[str], held_out: Sequence[str]) -> str:
    """Return how to give the folders of two splits the names of the same domains, as keys in one line."""
    ours, theirs = ({split_of(name)[1]: name for name in names} for names in (train, held_out))
    if ours.keys() != theirs.keys() or len(ours) < len(train):
        ours = theirs = {"NAME": "FOLDER"}
    return f"domains: {as_yaml(ours, flow=True)} and validation: {as_yaml({'domains': theirs}, flow=True)}"


def as_yaml(keys: Mapping[str, Any], flow: bool = False) -> str:
    """Return keys of `data` as YAML to copy: as lines of a recipe, or in one line."""
    written = dict(keys) if flow else {"data": dict(keys)}
    text: str = yaml.safe_dump(written, sort_keys=False, default_flow_style=flow or None, width=10_000)
    return text.strip()


def _some(names: Iterable[str], most: int = 5) -> str:
    found = list(names)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
