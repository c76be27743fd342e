"""Data of a report, read from the folder of a run, which is not changed and may still be training."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from i2i.logged import Numbers, read_numbers
from i2i_core.errors import UsageError
from i2i_core.interfaces import Schedule
from i2i_core.recipe.reading import load_recipe
from i2i_core.recipe.sections import Recipe, schedule
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.specs import Checker, build

T = TypeVar("T")
SAMPLE = re.compile(r"step-(\d+)-(.+)\.(png|jpe?g|webp)")
MOST_PICTURES = 30
"""Maximum number of pictures of a family; more would make the page slow."""
LINE = re.compile(r"""( *)([^:]+):(?: ((?:"(?:[^"\\]|\\.)*"|[^"])*?)  \# (.*))?""")
"""A line of a resolved recipe: indentation, key, value, origin. The first line of a section has only a key."""


@dataclass(frozen=True)
class Family:
    """Pictures of one hook by step, at most MOST_PICTURES; `found` is the number of all pictures."""

    name: str
    pictures: list[tuple[int, Path]]
    found: int


@dataclass(frozen=True)
class Line:
    """A line of the resolved recipe. At the start of a section, `origin` is "" and `default` covers all of it."""

    depth: int
    key: str
    value: str
    origin: str
    default: bool


@dataclass(frozen=True)
class RunReport:
    """The contents of a run's folder that a report shows."""

    folder: Path
    recipe: Recipe
    lines: list[Line]
    status: dict[str, Any]
    env: dict[str, Any]
    domains: list[str]
    losses: Numbers
    speed: Numbers
    families: list[Family]
    logged: str
    """The time of the last logged line, such as "2026-11-23 14:40"; "" without one."""
    start: dict[str, Any]
    """The contents of start.json: from what the run started, and what it took; {} if it started from the seed."""
    measured: dict[str, Any]
    """The contents of the files in eval/, by file name."""

    @property
    def step(self) -> int:
        """The last step that the folder records; while the run trains, the last logged step."""
        return max([int(self.status.get("step", 0)), *self.losses.steps[-1:]])

    @property
    def seconds(self) -> float | None:
        """The duration of training; None if the speed was not logged."""
        steps, found = self.speed.steps, self.speed.columns.get("seconds", [])
        spent = [
            (now - before) * seconds
            for before, now, seconds in zip([0, *steps], steps, found, strict=False)
            if seconds is not None
        ]
        return sum(spent) or None

    def weights(self, phase: str) -> dict[str, tuple[Schedule | None, int]]:
        """Return the schedule of the weight and the period of each loss of a phase."""
        return {
            name: (self.schedule({"use": term.weight.use, **term.weight.params}), term.every)
            for name, term in self.recipe.terms(phase)
        }

    def schedule(self, written: Any) -> Schedule | None:
        """Build a schedule of the core; returns None for a plugin's, whose import may be slow."""
        checker = Checker(Plugins(installed=False), self.recipe.document)
        spec = checker.check("schedule", schedule(written), ())
        return build(spec, {}) if spec is not None and not checker.problems else None


def read(folder: Path) -> RunReport:
    """Read a run's folder; raises UsageError if it is not a run, RecipeError if its recipe.yaml cannot be read."""
    if not (folder / "recipe.yaml").is_file():
        raise UsageError(f"{folder} is not the folder of a run: it has no recipe.yaml")
    if (folder / "config.json").is_file():
        raise UsageError(f"{folder} is a model; name the folder of the run from which it was exported")
    recipe = load_recipe(folder / "recipe.yaml")
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    manifests = sorted(folder.glob("checkpoints/step-*/manifest.json"))
    domains = [*map(_mapping, manifests[-1:]), recipe.data.params]
    return RunReport(
        folder,
        recipe,
        _recipe_lines(text),
        _mapping(folder / "status.json"),
        _mapping(folder / "env.json"),
        next((list(map(str, facts["domains"])) for facts in domains if facts.get("domains")), []),
        read_numbers(folder / "metrics.jsonl"),
        read_numbers(folder / "speed.jsonl"),
        _families(folder / "samples"),
        _modified(folder / "metrics.jsonl"),
        _mapping(folder / "start.json"),
        {file.name: found for file in sorted(folder.glob("eval/*.json")) if (found := _json(file)) is not None},
    )


def _json(path: Path) -> Any:
    """Read a JSON file; returns None if it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(path.read_text(encoding="utf-8"))


def _modified(path: Path) -> str:
    with suppress(OSError):
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    return ""


def _mapping(path: Path) -> dict[str, Any]:
    found = _json(path)
    return found if isinstance(found, dict) else {}


def drawn(folder: Path) -> dict[str, dict[int, Path]]:
    """Return the pictures in a run's folder `samples` by the name of their hook and step."""
    found: dict[str, dict[int, Path]] = {}
    for file in sorted(folder.glob("*")):
        if named := SAMPLE.fullmatch(file.name):
            found.setdefault(named[2], {})[int(named[1])] = file
    return found


def _families(folder: Path) -> list[Family]:
    return [
        Family(name, thinned(sorted(by_step.items()), MOST_PICTURES), len(by_step))
        for name, by_step in drawn(folder).items()
    ]


def thinned(items: Sequence[T], most: int) -> list[T]:
    """Select the first, the last, and evenly spaced items between them."""
    last, n = len(items) - 1, min(len(items), most)
    return [items[round(i * last / max(n - 1, 1))] for i in range(n)]


def _recipe_lines(text: str) -> list[Line]:
    """Parse a recipe from its last line to its first: a section is default if all its lines are."""
    lines: list[Line] = []
    defaults: dict[int, bool] = {}
    for written in reversed(text.splitlines()):
        found = LINE.fullmatch(written)
        space, key, value, origin = found.groups() if found else ("", written, None, "")
        depth = len(space) // 2
        below = all([defaults.pop(inner) for inner in [*defaults] if inner > depth])
        default = below if value is None else origin == "default"
        defaults[depth] = defaults.get(depth, True) and default
        lines.append(Line(depth, key, value or "", origin or "", default))
    return lines[::-1]


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings, with keys joined by spaces."""
    found: dict[str, Any] = {}
    for key, value in facts.items():
        found |= flat(value, f"{prefix}{key} ") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
