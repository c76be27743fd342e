"""Pictures that a list names: a CSV, TSV, JSON lines or Parquet file with a row for each picture."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from i2i_core.data.datasets.file_records import FileRecords, check_field_name, listed
from i2i_core.data.datasets.lists import Row, read_list
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.errors import did_you_mean
from i2i_core.interfaces import Format

PATH, DOMAIN, SPLIT, PAIR = "path", "domain", "split", "pair"
"""The columns that a list may have; only the first one is needed."""
ALONE = "pictures"
"""The name of the only domain of a list without the column `domain`."""


@dataclass(frozen=True, kw_only=True)
class ListedDomain:
    """The pictures of a domain in a list.

    format: the format of the files.
    size: height and width to which its pictures are resized, or one number for both; default: `image_size`.
    """

    format: Format = Picture()
    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """A further file of each record, whose path is in a column of the list.

    column: the column of the paths.
    format: the format of the files.
    """

    column: str
    format: Format = Picture()


@dataclass(frozen=True, kw_only=True)
class ListedNumbers:
    """Numbers of each record, such as attributes, in columns of the list.

    columns: the columns of numbers.
    format: the format of the numbers.
    """

    columns: tuple[str, ...]
    format: Format = Numbers()


class ImageList(FileRecords):
    """Pictures that a list names, in a .csv, .tsv, .jsonl or .parquet file with a row for each picture.

    The column `path` names the file. The columns `domain`, `split` and `pair` may be missing: then all pictures are of
    one domain, in one split, without pairs. Rows of one `pair` show the same thing in each domain. Every file is
    decoded once to find broken ones; the result is kept in the user's cache until a file changes.

    file: the list.
    root: the folder to which paths are relative; default: the folder of the list.
    domains: the domains in the order of the class index y, as a list, or as a mapping from names to formats and sizes;
        default: all that the list names, sorted.
    split: the split whose rows are used, or several; it may be left out if the list has only one.
    fields: what else belongs to a record, by name: files of another column, or columns of numbers.
    paired: false ignores the column `pair`.
    broken: "refuse" raises an error for broken files, "skip" leaves out their records with a warning, and "repair" does
        so too, but takes pictures of which a part is there, such as a JPEG that is cut short.
    min_size: least number of pixels of the shorter side; smaller pictures count as broken.
    """

    def __init__(
        self,
        *,
        file: Path,
        root: Path | None = None,
        domains: dict[str, ListedDomain] | list[str] | None = None,
        split: str | list[str] | None = None,
        fields: dict[str, ListedFile | ListedNumbers] | None = None,
        paired: bool = True,
        broken: Literal["refuse", "skip", "repair"] = "refuse",
        min_size: int = 8,
    ) -> None:
        self.list, rows = file, read_list(file)
        self.columns = tuple(dict.fromkeys(name for row in rows for name in row.cells))
        self._need(PATH)
        self._refuse_twice(rows)
        written = domains if isinstance(domains, dict) else dict.fromkeys(domains or (), ListedDomain())
        listings = written or {name: ListedDomain() for name in sorted({self._domain(row, written) for row in rows})}
        if unknown := [row for row in rows if self._domain(row, listings) not in listings]:
            name = self._domain(unknown[0], listings)
            raise ValueError(
                f"{unknown[0].place}: domains does not name the domain {name!r}, and {len(unknown)} row"
                f"{'s' * (len(unknown) > 1)} of the list do so ({did_you_mean(name, listings)}); correct the list, or "
                f"name it in domains"
            )
        chosen = self._of_split(rows, [split] if isinstance(split, str) else split)
        of = {name: [row for row in chosen if self._domain(row, listings) == name] for name in listings}
        paired = paired and len(of) > 1 and any(row.text(PAIR) for row in rows)
        if paired:
            of = self._pairs(of)
        base = file.parent if root is None else root
        super().__init__(
            base,
            {name: listing.format for name, listing in listings.items()},
            {name: listing.size for name, listing in listings.items()},
            [_paths(base, rows, PATH) for rows in of.values()],
            paired=paired,
            broken=broken,
            min_size=min_size,
        )
        for field, source in (fields or {}).items():
            check_field_name(field)
            if isinstance(source, ListedFile):
                self._need(source.column)
                self._add_files(field, source.format, [_paths(base, rows, source.column) for rows in of.values()])
            else:
                self._read_numbers(field, source, of)
        self._leave_out_broken()

    def _need(self, column: str) -> None:
        if column not in self.columns:
            hint = did_you_mean(column, self.columns)
            raise ValueError(f"the list {self.list} has no column {column}" + (f" ({hint})" if hint else ""))

    def _domain(self, row: Row, known: Mapping[str, ListedDomain]) -> str:
        if DOMAIN not in self.columns:
            return next(iter(known)) if len(known) == 1 else ALONE
        if not (name := row.text(DOMAIN)):
            raise ValueError(f"{row.place}: the column {DOMAIN} is empty; write the domain of {row.text(PATH)}")
        return name

    def _of_split(self, rows: Sequence[Row], wanted: Sequence[str] | None) -> Sequence[Row]:
        """Return the rows of the wanted splits."""
        if wanted is not None:
            self._need(SPLIT)
        counts = Counter(row.text(SPLIT) for row in rows)
        if wanted and not any(counts):
            raise ValueError(
                f"the column {SPLIT} of the list {self.list} is empty; write its splits, or leave split out"
            )
        for name in wanted or ():
            if name not in counts:
                raise ValueError(
                    f"no row of the list {self.list} has the split {name} ({did_you_mean(name, filter(None, counts))})"
                )
        if wanted is None and len(counts) > 1:
            said = ", ".join(f"{name or 'none'} ({count})" for name, count in counts.items())
            first = next(filter(None, counts))
            raise ValueError(f"the list {self.list} has the splits {said}; name one, for example split: {first}")
        return [row for row in rows if wanted is None or row.text(SPLIT) in wanted]

    def _refuse_twice(self, rows: Iterable[Row]) -> None:
        """Raise ValueError for a row without a path, and for two rows of one picture of a domain."""
        seen: dict[tuple[str, str], Row] = {}
        for row in rows:
            if not (path := row.text(PATH)):
                raise ValueError(f"{row.place}: the column {PATH} is empty; name a file, or remove the row")
            if (other := seen.setdefault((row.text(DOMAIN), str(Path(path))), row)) is not row:
                raise ValueError(f"{row.place}: a second row for {path}, the first is {other.place}; remove one")

    def _pairs(self, of: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
        """Return the rows of each domain in the order of their pairs."""
        pairs: dict[str, dict[str, Row]] = {}
        for domain, rows in of.items():
            for row in rows:
                if not (pair := row.text(PAIR)):
                    raise ValueError(f"{row.place}: the column {PAIR} is empty; write the pair of {row.text(PATH)}")
                if (other := pairs.setdefault(pair, {}).setdefault(domain, row)) is not row:
                    raise ValueError(
                        f"{row.place}: a second {domain} of the pair {pair}, the first is {other.place}; remove one"
                    )
        lonely = [
            f"{pair} (not in {domain}; {next(iter(rows.values())).place})"
            for pair, rows in pairs.items()
            for domain in of
            if domain not in rows
        ]
        if lonely:
            raise ValueError(
                f"{len(lonely)} pair{'s lack' if len(lonely) > 1 else ' lacks'} a picture: {listed(lonely)}; add or "
                f"remove rows, or set paired: false"
            )
        return {domain: [rows[domain] for rows in pairs.values()] for domain in of}

    def _read_numbers(self, field: str, source: ListedNumbers, of: Mapping[str, Sequence[Row]]) -> None:
        form = source.format
        if not isinstance(form, Numbers):
            raise ValueError(f"the field {field} has columns of numbers, so its format is numbers; correct format")
        if not source.columns:
            raise ValueError(f"the field {field} names no column; name some in columns")
        for column in source.columns:
            self._need(column)
        form = form if form.names else replace(form, names=source.columns)
        numbers = [[_numbers(form, row, source.columns) for row in rows] for rows in of.values()]
        self._add_numbers(field, form, numbers, self.list)


def _numbers(form: Numbers, row: Row, columns: Sequence[str]) -> Mapping[str, float]:
    numbers = {column: row.number(column) for column in columns}
    try:
        return form.converted(numbers)
    except ValueError as error:
        raise ValueError(f"{row.place}: {error}") from None


def _paths(root: Path, rows: Sequence[Row], column: str) -> list[Path]:
    """Return the files that a column names. Raises ValueError for those that do not exist."""
    if empty := next((row for row in rows if not row.text(column)), None):
        raise ValueError(f"{empty.place}: the column {column} is empty; name a file")
    paths = [root / row.text(column) for row in rows]
    missing = [
        f"{row.text(column)} ({row.place})"
        for row, path in zip(rows, paths, strict=True)
        if not os.path.exists(path)  # that of pathlib raises an error for a long name
    ]
    if missing:
        raise ValueError(
            f"{len(missing)} file{'s are' if len(missing) > 1 else ' is'} not in {root}: {listed(missing)}; add what "
            f"is missing, remove its rows, or correct root"
        )
    return paths
