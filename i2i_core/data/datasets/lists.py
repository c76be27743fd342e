"""Lists of records in files: CSV, TSV, JSON lines or Parquet, one record a row."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i_core.data.datasets.tables import SEPARATORS
from i2i_core.errors import PluginError

SUFFIXES = (*SEPARATORS, ".jsonl", ".parquet")
Cells = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A row of a list."""

    place: str
    """The list and the line of the row, or its number if the list has no lines: "pictures.csv:3"."""
    cells: Cells
    """Its values by column; those of a nested mapping, such as attributes, by their own names."""

    def text(self, column: str) -> str:
        """Return a value as text without spaces around it, or "" if there is none. Raises ValueError for other values.

        Whole numbers are written without a point, as Parquet makes floats of columns in which some are missing.
        """
        value = self.cells.get(column)
        if _is_missing(value):
            return ""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = os.fsdecode(value) if isinstance(value, bytes) else str(value).strip()
        if isinstance(value, list | Mapping) or not _is_encodable(text):
            raise ValueError(f"{self.place}: {column} is {value!r}, and should be text")
        return text

    def number(self, column: str) -> float:
        """Return a value as a number. Raises ValueError."""
        try:
            return float(self.cells[column])
        except (KeyError, TypeError, ValueError):
            value = self.cells.get(column)
            what = "missing" if _is_missing(value) or value == "" else repr(value)
            raise ValueError(f"{self.place}: {column} is {what}, and should be a number") from None


def read_list(path: Path) -> list[Row]:
    """Read a list by its suffix. Raises ValueError, with the line, for one that cannot be read, and PluginError."""
    if (suffix := path.suffix.lower()) not in SUFFIXES:
        raise ValueError(f"the list {path} should end in one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ValueError(f"there is no list {path}")
    try:
        if suffix == ".parquet":
            found = [*_parquet(path)]
        else:
            with open(path, encoding="utf-8-sig", newline="") as file:
                lines = _json_lines(path, file) if suffix == ".jsonl" else _separated(path, file, SEPARATORS[suffix])
                found = [Row(place, _flat(cells)) for place, cells in lines]
    except UnicodeDecodeError:
        raise ValueError(f"the list {path} is not text in UTF-8; save it as that") from None
    except OSError as error:
        raise ValueError(f"the list {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    if not found:
        raise ValueError(f"the list {path} has no rows")
    return found


def _separated(path: Path, file: Iterator[str], separator: str) -> Iterator[tuple[str, Cells]]:
    reader = csv.reader(file, delimiter=separator, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"{path}:{line}: {error}") from None
        if not row:
            continue
        if not header:
            header = [name.strip() for name in row]
            if twice := [name for n, name in enumerate(header) if name in header[:n]]:
                raise ValueError(f"{path}:{line}: two columns are called {twice[0]!r}; rename one")
        elif len(row) != len(header):
            raise ValueError(f"{path}:{line}: {len(row)} columns, and the header has {len(header)}")
        else:
            yield f"{path}:{line}", dict(zip(header, row, strict=True))


def _json_lines(path: Path, file: Iterator[str]) -> Iterator[tuple[str, Cells]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                cells = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: not JSON: {error.msg} at column {error.colno}") from None
            except RecursionError:
                raise ValueError(f"{path}:{number}: its values are nested too deeply") from None
            if not isinstance(cells, dict):
                raise ValueError(f'{path}:{number}: a line should be a mapping, such as {{"path": "a.jpg"}}')
            yield f"{path}:{number}", cells


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise PluginError(f'{path} needs pyarrow: pip install "i2i-gan[parquet]"') from None
    try:
        rows = parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(f"the list {path} is not Parquet: {str(error).splitlines()[0]}") from None
    yield from (Row(f"{path}: row {number}", _flat(cells)) for number, cells in enumerate(rows, 1))


def _flat(cells: Cells) -> Cells:
    """Return the values with those of nested mappings beside them, which replace mappings and no other outer ones."""
    flat = dict(cells)
    for value in cells.values():
        flat |= value if isinstance(value, Mapping) else {}
    return flat | {name: value for name, value in cells.items() if not isinstance(value, Mapping)}


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # not a number, as some libraries write it


def _is_encodable(text: str) -> bool:
    """Return False for text with halves of characters, which no file and no terminal can hold."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
