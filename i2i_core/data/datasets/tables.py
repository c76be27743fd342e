"""Tables in text files: numbers that belong to records."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from i2i_core.disk.unknown import read_text
from i2i_core.errors import did_you_mean

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""Separators of columns by suffix; other files are separated by spaces, as CelebA's are."""


MOST_BYTES = 2**30
"""Most bytes of a table, which is read whole."""


def read_table(path: Path, key: str, columns: Sequence[str]) -> dict[str, dict[str, float]]:
    """Read columns of numbers from a table with a header; return them by the row's value in the column `key`.

    A first line that is only the number of rows is skipped. If the header lacks a name for the first column, that
    column is the key. Raises ValueError for a table that cannot be read so.
    """
    for n, name in enumerate(columns):
        if name in columns[:n]:
            raise ValueError(f"the column {name} is named twice; name each column once")
    if not columns:
        raise ValueError(f"no column of the table {path} is named; name some in columns")
    try:
        lines = read_text(path, MOST_BYTES).removeprefix("\ufeff").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"the table {path} is not text in UTF-8; save it as that") from None
    except OSError as error:
        raise ValueError(f"the table {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    separator = SEPARATORS.get(path.suffix.lower())
    rows = [
        (number, row)
        for number, row in enumerate(csv.reader(lines, delimiter=separator) if separator else map(str.split, lines), 1)
        if row
    ]
    if rows and len(rows[0][1]) == 1 and rows[0][1][0].isdecimal():
        rows = rows[1:]
    if len(rows) < 2:
        raise ValueError(f"the table {path} has no rows")
    header = [name.strip() for name in rows[0][1]]
    if len(rows[1][1]) == len(header) + 1 and key not in header:
        header = [key, *header]
    if len(header) == 1:
        wanted = {",": "commas", "\t": "tabs"}.get(separator or "", "spaces")
        raise ValueError(f"the table {path} has only the column {header[0]!r}; separate its columns by {wanted}")
    for name in (key, *columns):
        if name not in header:
            raise ValueError(f"the table {path} has no column {name} ({did_you_mean(name, header)})")
        if header.count(name) > 1:
            raise ValueError(f"the table {path} has {header.count(name)} columns {name}; rename all but one")
    found: dict[str, dict[str, float]] = {}
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise ValueError(f"{path}:{number}: {len(row)} columns, and the header has {len(header)}")
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        try:
            numbers = {name: float(cells[name]) for name in columns}
        except ValueError:
            wrong = next(name for name in columns if not _is_number(cells[name]))
            raise ValueError(f"{path}:{number}: {wrong} is {cells[wrong]!r}, which is not a number") from None
        if cells[key] in found:
            raise ValueError(f"{path}:{number}: a second row for {cells[key]}")
        found[cells[key]] = numbers
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
