"""Data sets of torchvision, by name."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from i2i_core.data.datasets.classes import classes_of
from i2i_core.data.decoding.files import open_picture, why_broken
from i2i_core.data.formats.picture import Picture
from i2i_core.errors import DataError, PluginError, did_you_mean
from i2i_core.interfaces import Format, Size, Value
from i2i_core.plan.fields import PICTURE

RGB = Picture()
NAMES_OF = {
    "targets": "classes",
    "labels": "classes",
    "_labels": "classes",
    "_bin_labels": "bin_classes",
    "y": "categories",
    "samples": "classes",
    "_samples": "classes",
    "attr": "attr_names",
    "identity": "",
}
"""Attributes of data sets with the targets of all pictures, and those with the names of their classes."""
PROBES = 16
"""Number of pictures whose targets are compared with the kept ones."""
SET_HERE = ("root", "loader", "transform", "target_transform", "transforms")
"""Arguments of data sets that are no keys in `arguments`."""
UNPICKLED = ("LSUN", "LSUNClass")
"""Data sets that unpickle a file of the working directory, which may run code."""
_ONE_AT_A_TIME = Lock()


class Torchvision:
    """A data set of torchvision, such as CIFAR10: its classes or attributes are the domains.

    If the targets are pictures, as in VOCSegmentation, they are a domain of their own, and translations of the
    pictures. Needs the extra `torchvision`.

    name: its name in `torchvision.datasets`.
    root: the folder that holds the data set, for those that have one.
    arguments: what else it takes, for example {train: false}, {split: test} or {download: true}.
    format: the format of the pictures.
    target: the format of targets that are pictures.
    domains: the classes that are domains, in the order of the class index y, or the class or classes of each domain by
        its name; default: all classes. Of an attribute such as Smiling, "not Smiling" is a class, too. If targets are
        pictures, the names of the two domains.
    """

    fields: Mapping[str, Format] = {}

    def __init__(
        self,
        *,
        name: str,
        root: Path | None = None,
        arguments: dict[str, Any] | None = None,
        format: Format = RGB,
        target: Format = RGB,
        domains: dict[str, str | list[str]] | list[str] | None = None,
    ) -> None:
        self._key = (name, root, arguments)
        self._data = _load(name, root, arguments or {})
        self.sizes: Mapping[str, Size] = {}
        if not len(self._data):
            raise ValueError(f"the data set {name} is empty")
        first = self._item(0)
        self.paired = len(first) == 2 and isinstance(first[1], Image.Image)
        if self.paired:
            named = ["pictures", "targets"] if domains is None else domains
            if not isinstance(named, list) or len(set(named)) != 2:
                raise ValueError(f"the targets of {name} are pictures; name two domains, as [pictures, targets]")
            rows = [np.arange(len(self._data))] * 2
            self.formats: Mapping[str, Format] = dict(zip(named, (format, target), strict=True))
        else:
            names, of_class = _classes(name, self._data, self._item)
            chosen = classes_of(domains, names, f"the data set {name}")
            rows = [np.flatnonzero(np.any([of_class(one) for one in of], axis=0)) for of in chosen.values()]
            self.formats = dict.fromkeys(chosen, format)
        self._rows: list[np.ndarray[Any, Any]] = rows
        """The index of each record, by domain."""
        self.domains: Sequence[str] = tuple(self.formats)

    def _item(self, index: int) -> tuple[Any, ...]:
        """Return a picture and its target. Raises ValueError for a data set of other things."""
        with _ONE_AT_A_TIME if self._key[1] is None else nullcontext():  # FakeData seeds torch's generator
            item = self._data[index]
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], Image.Image):
            raise ValueError(f"the data set {self._key[0]} does not have pictures with a target each; choose another")
        return item

    def count(self, domain: int) -> int:
        return len(self._rows[domain])

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        if PICTURE not in wanted:
            return {}
        row = int(self._rows[domain][index])
        try:
            picture = self._item(row)[domain if self.paired else 0]
            return {PICTURE: self.formats[self.domains[domain]].converted(ImageOps.exif_transpose(picture))}
        except Exception as error:  # a decoder may raise anything on a damaged file
            raise DataError(f"picture {row} of {self._key[0]} cannot be used: {why_broken(error)}") from error

    def fingerprint(self) -> str:
        """Return a text of the keys, and of the paths, sizes and times of all files in the folder."""
        root = self._key[1]
        files = sorted(path for path in _home(root).resolve().rglob("*") if path.is_file()) if root else []
        stats = [(str(path), s.st_size, s.st_mtime_ns) for path in files for s in (path.stat(),)]
        return str([self._key, [hashlib.sha256(rows.tobytes()).hexdigest() for rows in self._rows], stats])


def _load(name: str, root: Path | None, arguments: Mapping[str, Any]) -> Any:
    """Make a data set. Raises ValueError with the reason if that fails, PluginError without torchvision."""
    if find_spec("torchvision") is None:
        raise PluginError('torchvision/dataset needs torchvision: pip install "i2i-gan[torchvision]"')
    from torchvision import datasets

    known = [one for one in datasets.__all__ if isinstance(getattr(datasets, one), type)]
    if name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"torchvision has no data set {name}" + (f"; {hint}" if hint else ""))
    if name in UNPICKLED:
        raise ValueError(f"{name} unpickles a file of the working directory, which may run code; choose another")
    made = getattr(datasets, name)
    keys = inspect.signature(made).parameters
    for key in arguments:
        if key in SET_HERE or key not in keys:
            raise ValueError(
                f"{name} has no argument {key} ({did_you_mean(key, [k for k in keys if k not in SET_HERE])})"
            )
    if root is not None and "root" not in keys:
        raise ValueError(f"the data set {name} has no folder; leave root out")
    given = {**arguments, **({"root": _home(root)} if root else {})}
    for key, parameter in keys.items():
        if parameter.default is parameter.empty and key not in given:
            raise ValueError(f"the data set {name} needs {key}" + ("" if key == "root" else " in arguments"))
    if "loader" in keys:
        given["loader"] = open_file
    try:
        return made(**given)
    except Exception as error:  # a data set may raise anything
        reason = " ".join((str(error) or type(error).__name__).split()).rstrip(".")
        if "download" in keys and not arguments.get("download") and "download" in reason:
            reason = f"it is not in {root}, or damaged; correct root, or write arguments: {{download: true}}"
        raise ValueError(f"the data set {name} cannot be loaded: {reason}") from error


def _home(path: Path) -> Path:
    """Return a path with the user's home folder for ~, if the user has one."""
    return Path(os.path.expanduser(path))


def open_file(path: str | Path) -> Image.Image:
    """Decode a picture file as all pictures are decoded."""
    return open_picture(Path(path))


def _classes(name: str, data: Any, item: Any) -> tuple[list[str], Any]:
    """Return the names of a data set's classes, and a function from a name to the pictures that have it, as flags."""
    where, targets = _targets(name, data, item)
    named = [", ".join(one) if isinstance(one, tuple) else str(one) for one in getattr(data, NAMES_OF[where], ())]
    if targets.ndim == 2:  # attributes, each of which is true or not
        if targets.shape[1] > len(named):
            raise ValueError(f"the targets of {name} are numbers without names; choose other ones in arguments")
        flags = {one: column != 0 for one, column in zip(named, targets.T, strict=False)}
        flags |= {f"not {one}": ~column for one, column in flags.items()}
        return list(flags), flags.__getitem__
    numbers = named if int(targets.max(initial=0)) < len(named) else list(map(str, range(int(targets.max()) + 1)))
    return numbers, lambda one: targets == numbers.index(one)


def _targets(name: str, data: Any, item: Any) -> tuple[str, np.ndarray[Any, Any]]:
    """Return the targets of all pictures, (N,) or (N, attributes), and the attribute of the data set that has them."""
    probes = sorted({int(n) for n in np.linspace(0, len(data) - 1, PROBES)})
    found = [np.asarray(item(n)[1]) for n in probes]
    if any(one.ndim > 1 or one.dtype.kind not in "bui" for one in found):
        raise ValueError(f"the targets of {name} are neither classes nor attributes, so they are no domains")
    for where in NAMES_OF:
        kept = getattr(data, where, None)
        if kept is None or len(kept) != len(data):
            continue
        if "samples" in where:
            kept = [one[1] for one in kept]
        try:
            numbers = np.asarray(kept)
        except ValueError:  # of several lengths
            continue
        if numbers.dtype.kind in "bui" and np.array_equal(numbers[probes], found):
            return where, numbers
    return "targets", np.asarray([item(n)[1] for n in range(len(data))])
