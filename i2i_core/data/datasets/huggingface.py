"""Data sets of Hugging Face: of its hub, in local folders, or in files such as Parquet."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pydantic import PositiveInt

from i2i_core.data.datasets.classes import classes_of
from i2i_core.data.datasets.file_records import Broken, listed
from i2i_core.data.datasets.hub_client import answers_checked, no_bars_in_logs
from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.files import libraries, why_broken
from i2i_core.data.decoding.pngs import refuse_damaged
from i2i_core.data.decoding.repairs import what_is_there
from i2i_core.data.fitting import extent
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.data.looks import Look
from i2i_core.data.user_cache import user_cache
from i2i_core.errors import DataError, I2IError, PluginError, did_you_mean
from i2i_core.interfaces import Format, Size, Value
from i2i_core.plan.fields import PICTURE

if TYPE_CHECKING:
    import datasets

RGB = Picture()
BEGINNINGS = {b"\x89PNG": ".png", b"II*\0": ".tif", b"MM\0*": ".tif", b"\x93NUMPY": ".npy"}
"""Suffixes of files without a name by their first bytes, for formats that tell files apart by their suffix."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of pictures, or of arrays of numbers.

    column: its name.
    format: the format of its values.
    """

    column: str
    format: Format = Picture()


@dataclass(frozen=True, kw_only=True)
class DomainColumn(Column):
    """A column with the pictures of a domain.

    column, format: as for a field.
    size: height and width to which its pictures are resized, or one number for both; default: `image_size`.
    """

    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None


@dataclass(frozen=True, kw_only=True)
class NumberColumns:
    """Columns of numbers.

    columns: their names.
    format: the format of the numbers.
    """

    columns: tuple[str, ...]
    format: Format = Numbers()


class HuggingFace:
    """A data set of Hugging Face with a column of pictures, or with several that are translations of each other.

    Its rows stay on the disk, in the order of the data set. Needs the extra `hf`.

    path: name of a data set on the hub, a local folder, or a builder of `datasets` such as imagefolder or parquet.
    config: name of the data set's configuration, if it has several.
    split: name of a split such as train, or a part of one such as train[:90%]; needed if there are several.
    revision: commit, tag or branch of the hub; a commit pins the data set.
    data_dir, data_files: the folder or the files that a builder reads.
    image: the column of pictures; by default, the only one.
    format: the format of the pictures in `image`.
    domain: the column of each row's class; by default, the only one with named classes (ClassLabel).
    domains: the classes that are domains, in the order of the class index y, or the class or classes of each domain by
        its name; default: all classes.
    columns: instead of `image` and `domain`, the column of each domain. The pictures of a row are translations of each
        other.
    fields: what else belongs to a record, by name: a column of pictures, or columns of numbers.
    broken: "refuse" raises an error for pictures that cannot be decoded, "skip" leaves out their rows with a warning,
        and "repair" does so too, but takes pictures of which a part is there, such as a JPEG that is cut short.
    """

    def __init__(
        self,
        *,
        path: str,
        config: str | None = None,
        split: str | None = None,
        revision: str | None = None,
        data_dir: str | None = None,
        data_files: str | list[str] | dict[str, str | list[str]] | None = None,
        image: str | None = None,
        format: Format = RGB,
        domain: str | None = None,
        domains: dict[str, str | list[str]] | list[str] | None = None,
        columns: dict[str, DomainColumn | str] | None = None,
        fields: dict[str, Column | NumberColumns] | None = None,
        broken: Broken = "refuse",
    ) -> None:
        if columns is not None and (image or domain or domains is not None):
            raise ValueError("columns names the column of each domain, so leave image, domain and domains out")
        where = {"name": config, "revision": revision, "data_dir": data_dir, "data_files": data_files}
        self._table = _undecoded(_load(path, split, where))
        self._name = path if split is None else f"{path}, {split}"
        self._fields = dict(fields or {})
        self.formats: dict[str, Format]
        self._rows: list[np.ndarray[Any, Any]]
        """The row of each record, by domain."""
        if columns is not None:
            self._of_columns(columns)
        else:
            self._of_classes(image, format, domain, domains)
        used = {*self._columns.values(), *(name for source in self._fields.values() for name in _named(source))}
        self._tables = {name: self._table.select_columns([self._known(name)]) for name in used}  # quicker than of a row
        self.domains: Sequence[str] = tuple(self._columns)
        self.fields: Mapping[str, Format] = {name: self._field(name, source) for name, source in self._fields.items()}
        self._broken: Broken = broken
        self._damaged: Collection[int] = ()
        """Rows with pictures of which a part is there, and is taken."""
        self._leave_out_broken()

    def _of_columns(self, columns: Mapping[str, DomainColumn | str]) -> None:
        """Take each domain from a column of its own."""
        if not columns:
            raise ValueError("columns names no column; name one for each domain")
        found = {name: DomainColumn(column=of) if isinstance(of, str) else of for name, of in columns.items()}
        self.paired = len(found) > 1
        self._columns = {name: self._known(of.column) for name, of in found.items()}
        self.formats = {name: of.format for name, of in found.items()}
        self.sizes: dict[str, Size] = {name: _both(of.size) for name, of in found.items() if of.size is not None}
        self._rows = [np.arange(len(self._table))] * len(found)

    def _of_classes(self, image: str | None, form: Format, domain: str | None, domains: Any) -> None:
        """Take the domains from the classes of the rows."""
        column = self._known(image) if image else self._only("Image", "image", "of pictures")
        label = self._known(domain) if domain else self._only("ClassLabel", "domain", "of named classes")
        names, numbers = self._classes(label)
        chosen = classes_of(domains, names, f"the column {label}")
        self.paired, self.sizes = False, {}
        self._columns = dict.fromkeys(chosen, column)
        self.formats = dict.fromkeys(chosen, form)
        self._rows = [np.flatnonzero(np.isin(numbers, [names.index(one) for one in of])) for of in chosen.values()]

    def _known(self, column: str) -> str:
        if column not in self._table.column_names:
            hint = did_you_mean(column, self._table.column_names)
            raise ValueError(f"the data set {self._name} has no column {column}" + (f"; {hint}" if hint else ""))
        return column

    def _only(self, kind: str, key: str, what: str) -> str:
        """Return the only column whose feature is of a kind."""
        features: Mapping[str, object] = self._table.features
        found = [name for name, feature in features.items() if type(feature).__name__ == kind]
        if len(found) == 1:
            return found[0]
        several = f"the columns {', '.join(found)} {what}" if found else f"no column {what}"
        known = ", ".join(found or self._table.column_names)
        pairs = ", or the column of each domain in columns" if key == "image" and found else ""
        raise ValueError(f"the data set {self._name} has {several}; name one in {key}{pairs} (known: {known})")

    def _classes(self, column: str) -> tuple[list[str], np.ndarray[Any, Any]]:
        """Return the names of the classes in a column, and the class of each row as their index; -1 is none."""
        feature, values = self._table.features[column], self._table[column][:]
        if (names := getattr(feature, "names", None)) is not None:
            return list(names), np.asarray([-1 if value is None else value for value in values])
        if not {type(value) for value in values} <= {str, int, bool, type(None)}:
            raise ValueError(f"the column {column} holds no classes, which are texts or whole numbers; name another")
        texts = [value if isinstance(value, str | None) else str(value).lower() for value in values]
        numbers = {name: n for n, name in enumerate(sorted({text for text in texts if text is not None}))}
        return list(numbers), np.asarray([-1 if text is None else numbers[text] for text in texts])

    def _field(self, name: str, source: Column | NumberColumns) -> Format:
        """Check a field, and return its format."""
        if name == PICTURE or not name.isidentifier():
            what = "the name of the pictures" if name == PICTURE else "which no tensor could read"
            raise ValueError(f"a field cannot be called {name or repr(name)}, {what}; rename it")
        if isinstance(source, Column):
            return source.format
        if not isinstance(source.format, Numbers):
            raise ValueError(f"the field {name} has columns of numbers, so its format is numbers; correct format")
        return source.format if source.format.names else replace(source.format, names=source.columns)

    def _leave_out_broken(self) -> None:
        """Raise ValueError for records with values that cannot be used, or leave them out; warn of these and others."""
        found = self._looks()
        looked = [
            (int(row), look)
            for rows, of in zip(self._rows, found, strict=True)
            for row, look in zip(rows, of, strict=True)
            if look.reason
        ]
        bad = {row: look.reason for row, look in looked if not look.size}
        taken = {row: look.reason for row, look in looked if row not in bad}
        self._damaged = frozenset(taken)
        if taken:
            warnings.warn(f"took what is left of {self._said(taken)}", stacklevel=3)
        if bad:
            if self._broken == "refuse":
                raise ValueError(f"{self._said(bad)}; repair or remove them, or set broken: skip or repair")
            warnings.warn(f"skipped {self._said(bad)}", stacklevel=3)
        kept = [~np.isin(rows, list(bad)) for rows in self._rows]
        self._rows = [rows[keep] for rows, keep in zip(self._rows, kept, strict=True)]
        self._extents = [
            np.asarray([look.size or (0, 0) for look in of], np.int32).reshape(-1, 2)[keep]
            for of, keep in zip(found, kept, strict=True)
        ]

    def _said(self, broken: Mapping[int, str]) -> str:
        named = listed([f"row {row} ({reason})" for row, reason in broken.items()])
        return f"{len(broken)} broken row{'s' * (len(broken) > 1)} in {self._name}: {named}"

    def _looks(self) -> list[list[Look]]:
        """Decode each record once, and return the results by domain, which the user's cache keeps."""
        key = f"{libraries()} {self._broken == 'repair'} {self.fingerprint()}"
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        with suppress(OSError, ValueError, TypeError):  # no cache yet, or a damaged one
            known = json.loads((user_cache("pictures") / name).read_text(encoding="utf-8"))
            return [[Look(reason, size and tuple(size)) for reason, size in of] for of in known]
        with warnings.catch_warnings(), ThreadPoolExecutor() as threads:  # decoding releases the GIL
            warnings.simplefilter("ignore")
            found = [
                list(threads.map(partial(self._look, domain), range(len(rows))))
                for domain, rows in enumerate(self._rows)
            ]
        with suppress(OSError):  # without a writable cache, pictures are decoded again next time
            file = user_cache("pictures") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(found), encoding="utf-8")
        return found

    @BUDGET.turn()
    def _look(self, domain: int, index: int) -> Look:
        """Read all fields of a record, and return the size of its picture, or the reason why it cannot be used.

        Both, if it is damaged, and what is there of it is taken.
        """
        try:
            return Look("", self._size(domain, index))
        except I2IError:  # a library that is missing
            raise
        except Exception as error:  # a decoder may raise anything on a damaged file
            reason = why_broken(error)
        if self._broken == "repair":
            with suppress(Exception):
                return Look(reason, self._size(domain, index, damaged=True))
        return Look(reason)

    def _size(self, domain: int, index: int, damaged: bool = False) -> Size | None:
        """Read all fields of a record, and return the size of its picture. Raises whatever decoders do."""
        fields = (PICTURE, *self.fields)
        sizes = {field: extent(self._value(domain, index, field, True, damaged)) for field in fields}
        own = sizes.pop(PICTURE)
        for field, size in sizes.items():
            if own and size and abs(own[0] * size[1] - own[1] * size[0]) > max(*own, *size):  # more than a pixel
                raise ValueError(f"its {field} has {size[1]} x {size[0]} pixels, and its picture {own[1]} x {own[0]}")
        return own

    def extents(self, domain: int) -> dict[str, Size | None]:
        """Return the height and width in pixels of each picture of a domain."""
        rows = zip(self._rows[domain].tolist(), self._extents[domain].tolist(), strict=True)
        return {f"row {row}": (height, width) if height else None for row, (height, width) in rows}

    def count(self, domain: int) -> int:
        return len(self._rows[domain])

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Value]:
        try:
            damaged = (row := int(self._rows[domain][index])) in self._damaged
            return {name: self._value(domain, index, name, damaged, damaged) for name in wanted}
        except (OSError, ValueError) as error:
            raise DataError(f"row {row} of {self._name} cannot be read any more: {why_broken(error)}") from error

    def _value(self, domain: int, index: int, field: str, checked: bool, damaged: bool) -> Value:
        row = int(self._rows[domain][index])
        if field == PICTURE:
            name = self.domains[domain]
            return _read(self._cell(row, self._columns[name]), self.formats[name], checked, damaged)
        source, form = self._fields[field], self.fields[field]
        if isinstance(source, Column):
            return _read(self._cell(row, source.column), form, checked, damaged)
        assert isinstance(form, Numbers)
        return form.converted(dict(zip(form.names, (self._cell(row, name) for name in source.columns), strict=True)))

    def _cell(self, row: int, column: str) -> Any:
        return self._tables[column][row][column]

    def fingerprint(self) -> str:
        """Return a text of the data set's own fingerprint, the keys, and the times of files that are not in it."""
        files = []
        for name, table in sorted(self._tables.items()):
            if type(table.features[name]).__name__ == "Image":
                for cells in table.data.column(name).chunks:  # of which the bytes are not read
                    lone = cells.field("path").filter(cells.field("bytes").is_null()).drop_null().to_pylist()
                    files += [(path, s.st_size, s.st_mtime_ns) for path in lone if (s := _stat(path))]
        rows = [hashlib.sha256(rows.tobytes()).hexdigest() for rows in self._rows]
        return str([self._table._fingerprint, self._columns, self.formats, self._fields, rows, files])


def _load(path: str, split: str | None, where: Mapping[str, Any]) -> datasets.Dataset:
    """Load a split of a data set. Raises ValueError with the reason if that fails, PluginError without `datasets`."""
    if find_spec("datasets") is None:
        raise PluginError('the data set hf/dataset needs the library datasets: pip install "i2i-gan[hf]"')
    import datasets

    given = {key: value for key, value in where.items() if value is not None}
    if path == "pandas":
        raise ValueError("the builder pandas reads pickles, which may run code; save the data set as parquet")
    saved = any((Path(path) / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if saved and given:
        raise ValueError(f"the folder {path} was saved whole, so it has no {' and no '.join(given)}; leave that out")
    try:
        with no_bars_in_logs(datasets), answers_checked():
            if not saved:
                found = datasets.load_dataset(path, split=split, **given)
            else:
                found = _split(datasets.load_from_disk(path), split)
    except (ConnectionError, TimeoutError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if datasets.config.HF_HUB_OFFLINE else ""
        raise ValueError(
            f"the data set {path} is neither a local folder nor in the cache of Hugging Face, and its hub cannot be "
            f"reached{offline}; load it once with a network, or correct path"
        ) from error
    except Exception as error:  # the library raises anything, also for damaged files
        reason = " ".join((str(error) or type(error).__name__).split()).rstrip(".")
        reason = "it is empty or damaged" if isinstance(error, LookupError) else reason
        raise ValueError(f"the data set {path} cannot be loaded: {reason}") from error
    if isinstance(found, Mapping):
        if len(found) > 1:
            raise ValueError(f"the data set {path} has the splits {', '.join(found)}; name one in split")
        (found,) = found.values()
    assert isinstance(found, datasets.Dataset)
    return found


def _split(
    saved: datasets.Dataset | datasets.DatasetDict, split: str | None
) -> datasets.Dataset | datasets.DatasetDict:
    """Return a split of a data set that was saved whole. Raises ValueError if there is none of that name."""
    splits = saved if isinstance(saved, Mapping) else {str(saved.split): saved}
    if split is None:
        return saved
    if splits.keys() == {"None"}:
        raise ValueError("it has no splits; leave split out")
    if split not in splits:
        raise ValueError(f"it has no split {split}" + (f"; {hint}" if (hint := did_you_mean(split, splits)) else ""))
    return splits[split]


def _undecoded(table: datasets.Dataset) -> datasets.Dataset:
    """Return a data set whose pictures are bytes or paths, which our formats decode."""
    import datasets

    for name, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _read(cell: Any, form: Format, checked: bool, damaged: bool) -> Value:
    """Return a cell as its format reads it. Raises OSError or ValueError.

    checked: whether checksums are compared, too. damaged: whether what is there of a damaged file is taken.
    """
    if cell is None:
        raise ValueError("it is empty")
    if not isinstance(cell, dict):
        numbers = np.asarray(cell)
        if numbers.ndim < 2:
            raise ValueError(f"it is {str(cell)[:40]!r}, and no picture")
        return form.converted(Image.fromarray(_whole(numbers)) if form.kind is Image.Image else numbers)
    contents, path = cell["bytes"], cell["path"] or ""
    try:
        return _read_file(Path(path), form, checked) if contents is None else _read_bytes(contents, path, form, checked)
    except Exception:
        whole = what_is_there(contents or Path(path).read_bytes()) if damaged else None
        if whole is None:
            raise
    return _read_bytes(whole, path, form, checked)


def _read_bytes(contents: bytes, path: str, form: Format, checked: bool) -> Value:
    suffix = Path(path).suffix or next((s for start, s in BEGINNINGS.items() if contents.startswith(start)), "")
    with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as file:  # formats read files
        file.write(contents)
    try:
        return _read_file(Path(file.name), form, checked)
    finally:
        os.unlink(file.name)


def _read_file(path: Path, form: Format, checked: bool) -> Value:
    if checked:
        refuse_damaged(path)
    return form.read(path)


def _whole(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return whole numbers in a type that pictures have."""
    if numbers.dtype.kind not in "bui":
        raise ValueError(f"its numbers have the type {numbers.dtype}, and pictures have whole ones")
    fits = numbers.size == 0 or (numbers.min() >= 0 and numbers.max() <= 255)
    return numbers.astype(np.uint8 if fits else np.int32)


def _stat(path: str) -> os.stat_result | None:
    with suppress(OSError):
        return os.stat(path)
    return None


def _named(source: Column | NumberColumns) -> tuple[str, ...]:
    return (source.column,) if isinstance(source, Column) else source.columns


def _both(size: int | Size) -> Size:
    return (size, size) if isinstance(size, int) else size
