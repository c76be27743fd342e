"""Pictures in folders: one folder per domain, with further fields from other folders and tables."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import PositiveInt

from i2i_core.data.broken_files import find_broken
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.data.pictures import SUFFIXES, files_below
from i2i_core.data.tables import read_table
from i2i_core.errors import DataError, did_you_mean
from i2i_core.interfaces import Format, Size, Value
from i2i_core.plan.fields import PICTURE

T = TypeVar("T")
LISTED = 5
"""Most files that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder with a file for each record.

    folder: its path below `root`; by default the name of the domain or field.
    files: pattern of the files' names with one `*`. What `*` stands for is the name of the record, which its files in
        other folders share. By default, that is the name of a file without its suffix.
    format: the format of the files.
    """

    folder: Path | None = None
    files: str = "*"
    format: Format = Picture()

    def __post_init__(self) -> None:
        if self.files.count("*") != 1 or "/" in self.files:
            raise ValueError(f"files is {self.files}; it should be the name of a file with one *, such as *_labels.png")

    def records(self, folder: Path) -> dict[str, list[Path]]:
        """Return the files below a folder by the name of their record, sorted."""
        before, _, after = self.files.partition("*")
        found: dict[str, list[Path]] = {}
        for path in files_below(folder, self.format.suffixes):
            suffix = next(s for s in self.format.suffixes if path.name.lower().endswith(s))
            name = path.name if "." in after else path.name[: -len(suffix)]
            if len(name) > len(before) + len(after) and name.startswith(before) and name.endswith(after):
                record = path.relative_to(folder).with_name(name[len(before) : len(name) - len(after)]).as_posix()
                found.setdefault(record, []).append(path)
        return found


@dataclass(frozen=True, kw_only=True)
class DomainFolder(Folder):
    """A folder with the pictures of a domain.

    folder, files, format: as for a field.
    size: height and width to which its pictures are resized, or one number for both; default: `image_size`.
    """

    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of a table, with a row for each record.

    table: a text file below `root` with a header: .csv, .tsv, or columns separated by spaces.
    key: the column that names the record: its file, with or without folders and suffix.
    columns: the columns of numbers.
    format: the format of the numbers.
    """

    table: Path
    key: str
    columns: tuple[str, ...]
    format: Format = Numbers()


class ImageFolders:
    """Pictures in the subfolders of `root`, one per domain, named after the domains.

    Files are at any depth; hidden ones are ignored, and those with other suffixes than the format has. Every file is
    decoded once to find broken ones; the result is kept in the user's cache until a file changes.

    root: the folder that holds the domains' folders.
    domains: the domains in the order of the class index y, as a list of folders, or as a mapping from names to folders
        and formats; default: all folders, sorted by name.
    fields: what else belongs to a record, by name: files of the same record's name in another folder, or columns of a
        table.
    paired: pictures of the same record's name are translations of each other.
    broken: "refuse" raises an error for broken files, "skip" leaves out their records with a warning.
    min_size: least number of pixels of the shorter side; smaller pictures count as broken.
    """

    def __init__(
        self,
        *,
        root: Path,
        domains: dict[str, DomainFolder | str] | list[str] | None = None,
        fields: dict[str, Folder | Table] | None = None,
        paired: bool = False,
        broken: Literal["refuse", "skip"] = "refuse",
        min_size: int = 8,
    ) -> None:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}, which should hold one folder of pictures per domain")
        self.root, self.paired = root, paired
        folders = _domain_folders(root, domains, fields or {})
        self.domains: Sequence[str] = tuple(folders)
        if not self.domains:
            raise ValueError(f"{root} holds no folders; put the pictures of each domain into a folder of its own")
        self.formats: Mapping[str, Format] = {name: folder.format for name, folder in folders.items()}
        self.sizes: Mapping[str, Size] = {
            name: _both(folder.size) for name, folder in folders.items() if folder.size is not None
        }
        self.fields: Mapping[str, Format] = {}
        self.places = {name: _existing(root, folder, name, "domain") for name, folder in folders.items()}
        """The folder of each domain."""
        found = {name: folder.records(self.places[name]) for name, folder in folders.items()}
        if paired:
            _refuse_lonely(found)
        # Without pairs, two files may share a name, as a.png and a.jpg: both are pictures.
        self.files = [[path for paths in records.values() for path in paths] for records in found.values()]
        """The files of each domain."""
        names = [[name for name, paths in records.items() for _ in paths] for records in found.values()]
        self.broken: dict[Path, str] = {}
        """The files that are not usable, with the reason."""
        forms = list(self.formats.values())
        for form in [form for n, form in enumerate(forms) if form not in forms[:n]]:
            same = (files for files, other in zip(self.files, forms, strict=True) if other == form)
            self.broken |= find_broken([path for files in same for path in files], form, min_size)
        self.tables = [root / source.table for source in (fields or {}).values() if isinstance(source, Table)]
        self._field_files: dict[str, list[list[Path]]] = {}
        self._rows: dict[str, list[list[Mapping[str, float]]]] = {}
        for field, source in (fields or {}).items():
            self._add_field(field, source, names, min_size)
        self._leave_out_broken(broken)

    def _add_field(self, field: str, source: Folder | Table, names: list[list[str]], min_size: int) -> None:
        if field == PICTURE:
            raise ValueError(f"a field cannot be called {PICTURE}, the name of the pictures; rename it")
        if isinstance(source, Folder):
            records = source.records(_existing(self.root, source, field, "field"))
            _refuse_missing(f"field {field}", [n for of in names for n in of if n not in records])
            self._field_files[field] = [[records[name][0] for name in of] for of in names]
            self.broken |= find_broken([p for of in self._field_files[field] for p in of], source.format, min_size)
            self.fields = {**self.fields, field: source.format}
            return
        form = source.format
        if isinstance(form, Numbers) and not form.names:
            form = replace(form, names=source.columns)
        rows, lacking = read_table(self.root / source.table, source.key, source.columns), list[str]()
        rows = {_without_suffix(key): row for key, row in rows.items()} | rows
        found: list[list[Mapping[str, float]]] = []
        for paths, of in zip(self.files, names, strict=True):
            keyed = [_row(rows, path, name) for path, name in zip(paths, of, strict=True)]
            lacking += [path.name for path, row in zip(paths, keyed, strict=True) if row is None]
            found.append([_checked(form, row, path) for path, row in zip(paths, keyed, strict=True) if row is not None])
        _refuse_missing(f"row of the table {source.table}", lacking)
        self._rows[field] = found
        self.fields = {**self.fields, field: form}

    def _leave_out_broken(self, broken: Literal["refuse", "skip"]) -> None:
        """Raise ValueError for broken files, or leave their records out with a warning."""
        if not self.broken:
            return
        named = [f"{_below(path, self.root)} ({reason})" for path, reason in self.broken.items()]
        more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
        plural = "s" if len(named) > 1 else ""
        listed = f"{len(named)} broken picture{plural} in {self.root}: {', '.join(named[:LISTED])}{more}"
        if broken == "refuse":
            raise ValueError(f"{listed}; repair or remove them, or set broken: skip")
        warnings.warn(f"skipped {listed}", stacklevel=3)
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
            return form.read(path)
        except (OSError, ValueError) as error:
            raise DataError(f"the picture {path} cannot be read any more: {error}") from error

    def fingerprint(self) -> str:
        """Return a text of the paths, sizes and modification times of all files, and of the numbers of tables."""
        columns = [self.files, *self._field_files.values()]
        stats = [(path, path.stat()) for files in columns for paths in files for path in paths]
        return str([self.root.resolve(), self._rows, *((str(path), s.st_size, s.st_mtime_ns) for path, s in stats)])


def _domain_folders(
    root: Path, domains: Mapping[str, DomainFolder | str] | list[str] | None, fields: Mapping[str, Folder | Table]
) -> dict[str, DomainFolder]:
    """Return the folders of the domains by name."""
    taken = {(source.folder or Path(name)).parts[0] for name, source in fields.items() if isinstance(source, Folder)}
    found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in taken)
    if isinstance(domains, Mapping):
        return {name: DomainFolder(folder=Path(of)) if isinstance(of, str) else of for name, of in domains.items()}
    for name in domains or ():
        if not (root / name).is_dir():
            hint = did_you_mean(name, found)
            raise ValueError(f"there is no domain {name} in {root}" + (f"; {hint}" if hint else ""))
    return {name: DomainFolder(folder=Path(name)) for name in (domains if domains is not None else found)}


def _existing(root: Path, folder: Folder, name: str, what: str) -> Path:
    path = root / (folder.folder or name)
    if not path.is_dir():
        raise ValueError(f"there is no folder {path} for the {what} {name}")
    return path


def _refuse_lonely(found: Mapping[str, Mapping[str, Sequence[Path]]]) -> None:
    """Raise ValueError if a record of a paired data set is not in each domain, or twice in one."""
    everywhere = set[str]().union(*found.values())
    lonely = [f"{name} (not in {domain})" for domain, of in found.items() for name in sorted(everywhere - of.keys())]
    twice = [paths for of in found.values() for paths in of.values() if len(paths) > 1]
    if twice:
        raise ValueError(f"{twice[0][0]} and {twice[0][1]} are the same record; remove one")
    if lonely:
        plural = "s have" if len(lonely) > 1 else " has"
        raise ValueError(
            f"{len(lonely)} record{plural} no partner: {_list(lonely)}; a pair has one name in all domains, so add or "
            f"remove pictures, name the differing parts of names with files, or set paired: false"
        )


def _refuse_missing(what: str, names: Sequence[str]) -> None:
    if names:
        plural = "s have" if len(names) > 1 else " has"
        raise ValueError(f"{len(names)} picture{plural} no {what}: {_list(names)}; add what is missing, or remove them")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _row(rows: Mapping[str, Mapping[str, float]], path: Path, record: str) -> Mapping[str, float] | None:
    """Return the row whose key is a file or a record, with or without folders and suffix."""
    keys = (path.name, record, record.rpartition("/")[2], f"{record}{path.suffix}")
    return next((rows[key] for key in keys if key in rows), None)


def _without_suffix(key: str) -> str:
    stem, dot, suffix = key.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else key


def _checked(form: Format, row: Mapping[str, float], path: Path) -> Mapping[str, float]:
    try:
        return form.converted(row) if isinstance(form, Numbers) else row
    except ValueError as error:
        raise ValueError(f"the row of {path.name}: {error}") from None


def _chosen(columns: list[list[T]], indices: Iterable[Sequence[int]]) -> list[list[T]]:
    return [[column[index] for index in chosen] for column, chosen in zip(columns, indices, strict=True)]


def _both(size: int | Size | None) -> Size:
    assert size is not None
    return (size, size) if isinstance(size, int) else size


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
