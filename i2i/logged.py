"""The logged numbers of a run: metrics.jsonl and speed.jsonl as columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST_POINTS = 1000
"""Maximum number of points of a curve; more would make the page slow and would not be visible."""


@dataclass(frozen=True)
class Numbers:
    """Numbers by name and step; None if a name was not logged at a step, or its value was not finite."""

    steps: list[int]
    columns: dict[str, list[float | None]]
    every: int = 1
    """The number of lines whose mean is a point."""

    def thinned(self) -> Numbers:
        """Reduce to at most MOST_POINTS points, each the mean of the same number of lines."""
        n = math.ceil(len(self.steps) / MOST_POINTS)
        if n <= 1:
            return self
        starts = range(0, len(self.steps), n)
        return Numbers(
            [self.steps[start:][:n][-1] for start in starts],
            {name: [_mean(values[start : start + n]) for start in starts] for name, values in self.columns.items()},
            n,
        )


def read_numbers(path: Path) -> Numbers:
    """Read lines of {"step": ..., name: number}; skips damaged lines, and merges lines of the same step."""
    rows: dict[int, dict[str, float | None]] = {}
    for line in _lines(path):
        with suppress(ValueError, OverflowError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(step := row.pop("step", None), int):
                numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
                rows.setdefault(step, {}).update(
                    {name: value if math.isfinite(value) else None for name, value in numbers.items()}
                )
    steps = sorted(rows)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return Numbers(steps, {name: [rows[step].get(name) for step in steps] for name in names})


def _lines(path: Path) -> Iterator[str]:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        yield from file


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
