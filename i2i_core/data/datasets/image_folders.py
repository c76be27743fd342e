"""Pictures in folders: one folder per domain, with further fields from other folders and tables."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from i2i_core.data.datasets.file_records import FileRecords, below, check_field_name, listed
from i2i_core.data.datasets.splits import as_yaml, split_advice
from i2i_core.data.datasets.tables import read_table
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.data.pictures import SUFFIXES
from i2i_core.data.walking import all_files, folders_in, not_read, unread_pictures
from i2i_core.errors import did_you_mean
from i2i_core.interfaces import Format


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

    def records(self, folder: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
        """Return those of the files below a folder that it names, by the name of their record."""
        before, _, after = self.files.partition("*")
        found: dict[str, list[Path]] = {}
        for path in files:
            suffix = next((s for s in self.format.suffixes if path.name.lower().endswith(s)), None)
            if suffix is None:
                continue
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


class ImageFolders(FileRecords):
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
        if root.is_file():
            raise ValueError(f"{root} is a file, not a folder; lists of pictures are read by use: image_list")
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}, which should hold one folder of pictures per domain")
        folders = _domain_folders(root, domains, fields or {})
        if domains is not None and not domains:
            raise ValueError("domains names no folder; name some, or leave it out to take all folders")
        if not folders:
            raise ValueError(f"{root} holds no folders; put the pictures of each domain into a folder of its own")
        self.places = {name: _existing(root, folder, name, "domain") for name, folder in folders.items()}
        """The folder of each domain."""
        there = {name: all_files(place) for name, place in self.places.items()}
        found = {name: folder.records(self.places[name], there[name]) for name, folder in folders.items()}
        if paired:
            for name, folder in folders.items():
                _refuse_empty(folder, self.places[name], found[name], f"domain {name}")
            _refuse_lonely(found)
        super().__init__(
            root,
            {name: folder.format for name, folder in folders.items()},
            {name: folder.size for name, folder in folders.items()},
            # Without pairs, two files may share a name, as a.png and a.jpg: both are pictures.
            [[path for paths in records.values() for path in paths] for records in found.values()],
            paired=paired,
            broken=broken,
            min_size=min_size,
        )
        self.unread = {name: unread_pictures(of, folders[name].format.suffixes) for name, of in there.items()}
        names = [[name for name, paths in records.items() for _ in paths] for records in found.values()]
        for field, source in (fields or {}).items():
            check_field_name(field)
            if isinstance(source, Folder):
                self._read_folder(field, source, names)
            else:
                self._read_rows(field, source, names)
        self._leave_out_broken()
        if domains is None and (advice := split_advice(root, [*folders])):
            warnings.warn(f"{advice.says}; write data: {as_yaml(advice.write, flow=True)}", stacklevel=2)
        for name, unread in self.unread.items():
            if unread:
                warnings.warn(not_read(unread, self.places[name]), stacklevel=2)

    def _read_folder(self, field: str, source: Folder, names: list[list[str]]) -> None:
        place = _existing(self.root, source, field, "field")
        records = source.records(place, all_files(place))
        _refuse_empty(source, place, records, f"field {field}")
        _refuse_missing(f"file in {place}, the field {field}", [n for of in names for n in of if n not in records])
        _refuse_twice([records[name] for of in names for name in of])
        self._add_files(field, source.format, [[records[name][0] for name in of] for of in names])

    def _read_rows(self, field: str, source: Table, names: list[list[str]]) -> None:
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
        self._add_numbers(field, form, found, self.root / source.table)


def _domain_folders(
    root: Path, domains: Mapping[str, DomainFolder | str] | list[str] | None, fields: Mapping[str, Folder | Table]
) -> dict[str, DomainFolder]:
    """Return the folders of the domains by name."""
    taken = {(source.folder or Path(name)).parts[0] for name, source in fields.items() if isinstance(source, Folder)}
    found = [name for name in folders_in(root) if name not in taken]
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
            f"{len(lonely)} record{plural} no partner: {listed(lonely)}; a pair has one name in all domains, so add or "
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
        raise ValueError(f"{len(names)} record{plural} no {what}: {listed(names)}; add what is missing, or remove them")


def _refuse_shared(source: Table, keyed: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError if two records have one row. keyed: the key of each record's row, and the record's name."""
    owners: dict[str, str] = {}
    for key, record in keyed:
        if (other := owners.setdefault(key, record)) != record:
            raise ValueError(
                f"the row {key} of the table {source.table} would belong to {other} and {record}; write the folders "
                f"of files in the column {source.key}"
            )


def _key(rows: Collection[str], path: Path, record: str, root: Path) -> str | None:
    """Return the key of the row of a file or a record, with or without folders and suffix."""
    folder, slash, name = record.rpartition("/")
    own = (below(path, root).as_posix(), f"{folder}{slash}{path.name}", f"{record}{path.suffix}", record)
    return next((key for key in (*own, path.name, name) if key in rows), None)


def _without_suffix(key: str) -> str:
    stem, dot, suffix = key.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else key


def _checked(form: Numbers, row: Mapping[str, float], key: str, source: Table) -> Mapping[str, float]:
    try:
        return form.converted(row)
    except ValueError as error:
        raise ValueError(f"the row {key} of the table {source.table}: {error}") from None
