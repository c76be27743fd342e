"""Pictures in folders: one folder per domain, with further fields from other folders and tables."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import PositiveInt

from i2i_core.data.broken_files import Look, looks
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.data.pictures import SUFFIXES, files_below
from i2i_core.data.repairs import repaired
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
    broken: "refuse" raises an error for broken files, "skip" leaves out their records with a warning, and "repair" does
        so too, but takes pictures of which a part is there, such as a JPEG that is cut short.
    min_size: least number of pixels of the shorter side; smaller pictures count as broken.
    """

    def __init__(
        self,
        *,
        root: Path,
        domains: dict[str, DomainFolder | str] | list[str] | None = None,
        fields: dict[str, Folder | Table] | None = None,
        paired: bool = False,
        broken: Literal["refuse", "skip", "repair"] = "refuse",
        min_size: int = 8,
    ) -> None:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}, which should hold one folder of pictures per domain")
        self.root, self.paired = root, paired
        folders = _domain_folders(root, domains, fields or {})
        self.domains: Sequence[str] = tuple(folders)
        if domains is not None and not domains:
            raise ValueError("domains names no folder; name some, or leave it out to take all folders")
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
            for name, folder in folders.items():
                _refuse_empty(folder, self.places[name], found[name], f"domain {name}")
            _refuse_lonely(found)
        # Without pairs, two files may share a name, as a.png and a.jpg: both are pictures.
        self.files = [[path for paths in records.values() for path in paths] for records in found.values()]
        """The files of each domain."""
        names = [[name for name, paths in records.items() for _ in paths] for records in found.values()]
        self.broken: dict[Path, str] = {}
        """The files that are not usable, with the reason."""
        self._copies: dict[Path, Path] = {}
        """Repaired copies of broken files."""
        self._reasons: dict[Path, str] | None = {} if broken == "repair" else None
        self._min_size = min_size
        self._sizes: list[list[Size | None]] = self._look_at(self.files, list(self.formats.values()))
        self._field_files: dict[str, list[list[Path]]] = {}
        self._rows: dict[str, list[list[Mapping[str, float]]]] = {}
        self._tables: list[Path] = []
        for field, source in (fields or {}).items():
            if field == PICTURE or not field.isidentifier():
                what = "the name of the pictures" if field == PICTURE else "which no tensor could read"
                raise ValueError(f"a field cannot be called {field or repr(field)}, {what}; rename it")
            if isinstance(source, Folder):
                self._add_files(field, source, names)
            else:
                self._add_rows(field, source, names)
        self._leave_out_broken(broken)
        del self._sizes  # which data workers do not need

    def _look_at(self, files: list[list[Path]], forms: Sequence[Format]) -> list[list[Size | None]]:
        """Decode the files of each domain, note the broken ones, and return the heights and widths of pictures."""
        found: dict[Path, Look] = {}
        for form in [form for n, form in enumerate(forms) if form not in forms[:n]]:
            same = (of for of, other in zip(files, forms, strict=True) if other == form)
            found |= looks([path for of in same for path in of], form, self._min_size)
            if self._reasons is not None:
                found |= self._repair({path: look.reason for path, look in found.items() if look.reason}, form)
        self.broken |= {path: look.reason for path, look in found.items() if look.reason}
        return [[found[path].size for path in of] for of in files]

    def _repair(self, broken: Mapping[Path, str], form: Format) -> dict[Path, Look]:
        """Repair files of a format where that is possible, and return what is seen then."""
        assert self._reasons is not None
        copies = {path: copy for path in broken if path.is_file() and (copy := repaired(path))}
        seen = looks([*copies.values()], form, self._min_size)
        taken = {path: seen[copy] for path, copy in copies.items() if not seen[copy].reason}
        self._copies |= {path: copies[path] for path in taken}
        self._reasons |= {path: broken[path] for path in taken}
        return taken

    def _add_files(self, field: str, source: Folder, names: list[list[str]]) -> None:
        place = _existing(self.root, source, field, "field")
        records = source.records(place)
        _refuse_empty(source, place, records, f"field {field}")
        _refuse_missing(f"file in {place}, the field {field}", [n for of in names for n in of if n not in records])
        _refuse_twice([records[name] for of in names for name in of])
        files = self._field_files[field] = [[records[name][0] for name in of] for of in names]
        sizes = self._look_at(files, [source.format] * len(files))
        for paths, theirs, pictures, ours in zip(files, sizes, self.files, self._sizes, strict=True):
            for path, its, picture, size in zip(paths, theirs, pictures, ours, strict=True):
                if its and size and not _of_one_shape(its, size):
                    self.broken[path] = (
                        f"{its[1]} x {its[0]} pixels, and {_below(picture, self.root)} has {size[1]} x {size[0]}"
                    )
        self.fields = {**self.fields, field: source.format}

    def _add_rows(self, field: str, source: Table, names: list[list[str]]) -> None:
        form = source.format
        if not isinstance(form, Numbers):
            raise ValueError(f"the field {field} is a table of numbers, so its format is numbers; correct format")
        table, lacking = read_table(self.root / source.table, source.key, source.columns), list[str]()
        form = form if form.names else replace(form, names=source.columns)
        stems = Counter(map(_without_suffix, table))
        rows = {stem: row for key, row in table.items() if stems[stem := _without_suffix(key)] == 1} | table
        found: list[list[Mapping[str, float]]] = []
        owners: list[tuple[str, str]] = []
        for domain, paths, of in zip(self.domains, self.files, names, strict=True):
            keys = [_key(rows, path, name, self.root) for path, name in zip(paths, of, strict=True)]
            lacking += [path.name for path, key in zip(paths, keys, strict=True) if key is None]
            owners += [
                (key, name if self.paired else f"{domain}/{name}") for key, name in zip(keys, of, strict=True) if key
            ]
            found.append([_checked(form, rows[key], key, source) for key in keys if key is not None])
        what = f"row in the table {source.table}, whose column {source.key} begins with {next(iter(table))}"
        _refuse_missing(what, lacking)
        _refuse_shared(source, owners)
        self._tables.append(self.root / source.table)
        self._rows[field] = found
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

    def _listed(self, broken: Mapping[Path, str]) -> str:
        named = [f"{_below(path, self.root)} ({reason})" for path, reason in broken.items()]
        more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
        plural = "s" if len(named) > 1 else ""
        return f"{len(named)} broken picture{plural} in {self.root}: {', '.join(named[:LISTED])}{more}"

    def _leave_out_broken(self, broken: Literal["refuse", "skip", "repair"]) -> None:
        """Raise ValueError for broken files, or leave their records out; name these and repaired ones in warnings."""
        if self._reasons:
            warnings.warn(f"took what is left of {self._listed(self._reasons)}", stacklevel=3)
        if not self.broken:
            return
        listed = self._listed(self.broken)
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
            return form.read(self._copies.get(path, path))
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
    for n, name in enumerate(domains or ()):
        if name in (domains or ())[:n]:
            raise ValueError(f"domains names {name} twice; name each domain once")
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
    _refuse_twice([paths for of in found.values() for paths in of.values()])
    if lonely:
        plural = "s have" if len(lonely) > 1 else " has"
        raise ValueError(
            f"{len(lonely)} record{plural} no partner: {_list(lonely)}; a pair has one name in all domains, so add or "
            f"remove pictures, name the differing parts of names with files, or set paired: false"
        )


def _refuse_empty(source: Folder, place: Path, records: Collection[str], what: str) -> None:
    if not records:
        raise ValueError(
            f"the folder {place} of the {what} has no file {source.files} that ends in "
            f"{', '.join(source.format.suffixes)}; correct its folder, files or format"
        )


def _refuse_twice(records: Iterable[Sequence[Path]]) -> None:
    if twice := next((paths for paths in records if len(paths) > 1), None):
        raise ValueError(f"{twice[0]} and {twice[1]} are the same record; remove one")


def _refuse_missing(what: str, names: Sequence[str]) -> None:
    if names := [*dict.fromkeys(names)]:
        plural = "s have" if len(names) > 1 else " has"
        raise ValueError(f"{len(names)} record{plural} no {what}: {_list(names)}; add what is missing, or remove them")


def _refuse_shared(source: Table, keyed: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError if two records have one row. keyed: the key of each record's row, and the record's name."""
    owners: dict[str, str] = {}
    for key, record in keyed:
        if (other := owners.setdefault(key, record)) != record:
            raise ValueError(
                f"the row {key} of the table {source.table} would belong to {other} and {record}; write the folders "
                f"of files in the column {source.key}"
            )


def _of_one_shape(one: Size, other: Size) -> bool:
    """Return True if two sizes have the same aspect ratio, up to a pixel of the smaller one."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _key(rows: Collection[str], path: Path, record: str, root: Path) -> str | None:
    """Return the key of the row of a file or a record, with or without folders and suffix."""
    folder, slash, name = record.rpartition("/")
    own = (_below(path, root).as_posix(), f"{folder}{slash}{path.name}", f"{record}{path.suffix}", record)
    return next((key for key in (*own, path.name, name) if key in rows), None)


def _without_suffix(key: str) -> str:
    stem, dot, suffix = key.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else key


def _checked(form: Numbers, row: Mapping[str, float], key: str, source: Table) -> Mapping[str, float]:
    try:
        return form.converted(row)
    except ValueError as error:
        raise ValueError(f"the row {key} of the table {source.table}: {error}") from None


def _chosen(columns: list[list[T]], indices: Iterable[Sequence[int]]) -> list[list[T]]:
    return [[column[index] for index in chosen] for column, chosen in zip(columns, indices, strict=True)]


def _both(size: int | Size | None) -> Size:
    assert size is not None
    return (size, size) if isinstance(size, int) else size


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
