"""Records whose pictures and further fields are files: what data sets of folders and of lists share."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from i2i_core.data.decoding.files import why_broken
from i2i_core.data.decoding.repairs import repaired
from i2i_core.data.looks import Look, looks
from i2i_core.errors import DataError, I2IError
from i2i_core.interfaces import Format, Size, Value
from i2i_core.plan.fields import PICTURE

T = TypeVar("T")
Broken = Literal["refuse", "skip", "repair"]
"""Treatments of broken files: raise an error, leave out their records, or take what is left of a picture."""
LISTED = 5
"""Most files that a message lists."""


class FileRecords:
    """Records of files, one picture for each record of a domain, with further fields; a base of data sets.

    Every file is decoded once to find broken ones; the result is kept in the user's cache until a file changes.
    A subclass adds the fields with `_add_files` and `_add_numbers`, and then calls `_leave_out_broken`.

    root: the folder below which messages name files.
    formats: the format of each domain, in the order of the class index y.
    sizes: the height and width, or one number for both, of domains that do not have `image_size`.
    files: the pictures of each domain; those number i of all domains are a pair if `paired`.
    broken: the treatment of broken files.
    min_size: least number of pixels of the shorter side; smaller pictures count as broken.
    """

    unread: Mapping[str, Sequence[Path]] = {}
    """Files of each domain that a person would call pictures, and that its format does not read."""

    def __init__(
        self,
        root: Path,
        formats: Mapping[str, Format],
        sizes: Mapping[str, int | Size | None],
        files: list[list[Path]],
        *,
        paired: bool,
        broken: Broken,
        min_size: int,
    ) -> None:
        self.root, self.paired, self.formats, self.files = root, paired, formats, files
        self.domains: Sequence[str] = tuple(formats)
        self.sizes: Mapping[str, Size] = {
            name: (size, size) if isinstance(size, int) else size for name, size in sizes.items() if size is not None
        }
        self.fields: Mapping[str, Format] = {}
        self.broken: dict[Path, str] = {}
        """The files that are not usable, with the reason."""
        self.broken_pictures: Sequence[int] = ()
        """Number of pictures of each domain that are not usable."""
        self._copies: dict[Path, Path] = {}
        """Repaired copies of broken files."""
        self._repaired: dict[Path, str] = {}
        """The reasons why they are broken."""
        self._broken, self._min_size = broken, min_size
        self._sizes: list[list[Size | None]] = self._look_at(files, list(formats.values()))
        self._field_files: dict[str, list[list[Path]]] = {}
        self._rows: dict[str, list[list[Mapping[str, float]]]] = {}
        self._tables: list[Path] = []

    def _look_at(self, files: list[list[Path]], forms: Sequence[Format]) -> list[list[Size | None]]:
        """Decode the files of each domain, note the broken ones, and return the heights and widths of pictures."""
        found: dict[Path, Look] = {}
        for form in [form for n, form in enumerate(forms) if form not in forms[:n]]:
            same = (of for of, other in zip(files, forms, strict=True) if other == form)
            found |= looks([path for of in same for path in of], form, self._min_size)
            if self._broken == "repair":
                found |= self._repair({path: look.reason for path, look in found.items() if look.reason}, form)
        self.broken |= {path: look.reason for path, look in found.items() if look.reason}
        return [[found[path].size for path in of] for of in files]

    def _repair(self, broken: Mapping[Path, str], form: Format) -> dict[Path, Look]:
        """Repair files of a format where that is possible, and return what is seen then."""
        copies = {path: copy for path in broken if path.is_file() and (copy := repaired(path))}
        seen = looks([*copies.values()], form, self._min_size)
        taken = {path: seen[copy] for path, copy in copies.items() if not seen[copy].reason}
        self._copies |= {path: copies[path] for path in taken}
        self._repaired |= {path: broken[path] for path in taken}
        return taken

    def _add_files(self, field: str, form: Format, files: list[list[Path]]) -> None:
        """Add a field with a file for each record of each domain."""
        self._field_files[field] = files
        sizes = self._look_at(files, [form] * len(files))
        for paths, theirs, pictures, ours in zip(files, sizes, self.files, self._sizes, strict=True):
            for path, its, picture, size in zip(paths, theirs, pictures, ours, strict=True):
                if its and size and not _of_one_shape(its, size):
                    self.broken[path] = (
                        f"{its[1]} x {its[0]} pixels, and {below(picture, self.root)} has {size[1]} x {size[0]}"
                    )
        self.fields = {**self.fields, field: form}

    def _add_numbers(self, field: str, form: Format, rows: list[list[Mapping[str, float]]], table: Path) -> None:
        """Add a field with numbers for each record of each domain, which stand in a table."""
        self._rows[field] = rows
        self._tables.append(table)
        self.fields = {**self.fields, field: form}

    def extents(self, domain: int) -> dict[Path, Size | None]:
        """Return the height and width in pixels of each picture of a domain, as the user's cache keeps them."""
        copies = {path: self._copies.get(path, path) for path in self.files[domain]}
        found = looks([*copies.values()], self.formats[self.domains[domain]], self._min_size)
        return {path: found[copy].size for path, copy in copies.items()}

    def used(self) -> set[Path]:
        """Return the files of all records and tables, the broken ones included."""
        columns = [*self.files, *(paths for of in self._field_files.values() for paths in of)]
        return {*self.broken, *self._tables, *(path for paths in columns for path in paths)}

    def _said(self, broken: Mapping[Path, str]) -> str:
        named = [f"{below(path, self.root)} ({reason})" for path, reason in broken.items()]
        return f"{len(named)} broken picture{'s' * (len(named) > 1)} in {self.root}: {listed(named)}"

    def _leave_out_broken(self) -> None:
        """Raise ValueError for broken files, or leave their records out; name these and repaired ones in warnings."""
        del self._sizes  # which data workers do not need
        if self._repaired:
            warnings.warn(f"took what is left of {self._said(self._repaired)}", stacklevel=3)
        self.broken_pictures = [sum(path in self.broken for path in of) for of in self.files]
        if not self.broken:
            return
        said = self._said(self.broken)
        if self._broken == "refuse":
            raise ValueError(f"{said}; repair or remove them, or set broken: skip or repair")
        warnings.warn(f"skipped {said}", stacklevel=3)
        whole = [self._unbroken(domain) for domain in range(len(self.domains))]
        if self.paired:
            whole = [sorted(set(whole[0]).intersection(*whole))] * len(whole)
        self.files = _chosen(self.files, whole)
        self._field_files = {field: _chosen(files, whole) for field, files in self._field_files.items()}
        self._rows = {field: _chosen(rows, whole) for field, rows in self._rows.items()}

    def _unbroken(self, domain: int) -> list[int]:
        columns = [self.files[domain], *(files[domain] for files in self._field_files.values())]
        return [index for index in range(len(self.files[domain])) if not any(c[index] in self.broken for c in columns)]

    def count(self, domain: int) -> int:
        return len(self.files[domain])

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        return {name: self._value(domain, index, name) for name in wanted}

    def _value(self, domain: int, index: int, field: str) -> Value:
        if field in self._rows:
            return self._rows[field][domain][index]
        form = self.formats[self.domains[domain]] if field == PICTURE else self.fields[field]
        path = (self.files if field == PICTURE else self._field_files[field])[domain][index]
        try:
            return form.read(self._copies.get(path, path))
        except I2IError:
            raise
        except Exception as error:  # a decoder may raise anything on a file that was damaged since
            raise DataError(f"the picture {path} cannot be read any more: {why_broken(error)}") from error

    def fingerprint(self) -> str:
        """Return a text of the paths, sizes and modification times of all files, and of the numbers of tables."""
        columns = [self.files, *self._field_files.values()]
        stats = [(path, path.stat()) for files in columns for paths in files for path in paths]
        return str([self.root.resolve(), self._rows, *((str(path), s.st_size, s.st_mtime_ns) for path, s in stats)])


def check_field_name(field: str) -> None:
    """Raise ValueError if a field cannot have this name."""
    if field == PICTURE or not field.isidentifier():
        what = "the name of the pictures" if field == PICTURE else "which no tensor could read"
        raise ValueError(f"a field cannot be called {field or repr(field)}, {what}; rename it")


def listed(names: Sequence[str]) -> str:
    """Return the first names as a phrase, with the number of the others."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _of_one_shape(one: Size, other: Size) -> bool:
    """Return True if two sizes have the same aspect ratio, up to a pixel of the smaller one."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _chosen(columns: list[list[T]], indices: Iterable[Sequence[int]]) -> list[list[T]]:
    return [[column[index] for index in chosen] for column, chosen in zip(columns, indices, strict=True)]


def below(path: Path, root: Path) -> Path:
    """Return a path relative to `root` if it is below it."""
    return path.relative_to(root) if path.is_relative_to(root) else path
