"""The comparison of runs: recipes by key, curves, pictures at equal steps, and results."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from i2i.logged import Numbers
from i2i.report.curves import Chart, ends_of, figure, lines_of, number
from i2i.report.html import Element, section, tag
from i2i.report.page import MOST_WIDE, assembled, uri
from i2i.report.run_report import RunReport, drawn, flat, thinned
from i2i_core.data.decoding.files import read_picture
from i2i_core.errors import DataError
from i2i_core.recipe.document import load_text

MOST_GRIDS = 60
"""Maximum number of pictures of a hook; more would make the page slow."""
Rows = dict[str, list[Any]]
"""A value for each run, by name; None where a run has none."""


@dataclass(frozen=True)
class Comparison:
    """The runs to compare, with names that tell them apart."""

    names: list[str]
    runs: list[RunReport]

    @classmethod
    def of(cls, runs: Sequence[RunReport]) -> Comparison:
        short = [run.folder.resolve().name for run in runs]
        names = short if len({*short}) == len(short) else [str(run.folder) for run in runs]
        return cls(names, list(runs))

    def states(self) -> Rows:
        """Return the state, the steps and the duration of each run."""
        return {
            "state": [run.status.get("status", "unknown") for run in self.runs],
            "steps": [run.step for run in self.runs],
            "seconds": [run.seconds for run in self.runs],
        }

    def recipes(self) -> Rows:
        """Return the values of the resolved recipes that differ, by key."""
        texts = [(run.folder / "recipe.yaml").read_text(encoding="utf-8") for run in self.runs]
        return {
            key: values
            for key, values in _rows([_leaves(load_text(text, "").data) for text in texts]).items()
            if any(value != values[0] for value in values)
        }

    def results(self) -> Rows:
        """Return the numbers in eval/ by file and key."""
        found = [flat({Path(file).stem: facts for file, facts in run.measured.items()}) for run in self.runs]
        return {key: values for key, values in _rows(found).items() if any(isinstance(v, int | float) for v in values)}

    def losses(self) -> Rows:
        """Return the last logged value of each loss and metric."""
        return _rows([_known(run.losses) for run in self.runs])

    def tables(self) -> dict[str, Rows]:
        """Return all tables by heading, without the rows in which no run has a value, and without empty tables."""
        found = {"run": self.states(), "recipe": self.recipes(), "result": self.results(), "last loss": self.losses()}
        known = {
            heading: {key: values for key, values in rows.items() if any(value is not None for value in values)}
            for heading, rows in found.items()
        }
        return {heading: rows for heading, rows in known.items() if rows}

    def lacking(self) -> list[str]:
        """Return a sentence for what no run has logged."""
        lost = {"losses": not self.losses(), "seconds": "seconds" not in self.tables()["run"]}
        what = " and ".join(name for name, lacks in lost.items() if lacks)
        return [f"no run has logged {what}; the hook metrics does so every few steps, see its key every"] * bool(what)

    def facts(self) -> dict[str, Any]:
        """Return all tables as JSON, with a value for each run in the order of `runs`."""
        return {
            "runs": [str(run.folder) for run in self.runs],
            **self.states(),
            "recipe": self.recipes(),
            "results": self.results(),
            "losses": self.losses(),
        }


def _rows(found: Sequence[Mapping[str, Any]]) -> Rows:
    keys = dict.fromkeys(key for facts in found for key in facts)
    return {key: [facts.get(key) for facts in found] for key in keys}


def _leaves(data: Any, path: str = "") -> dict[str, Any]:
    """Return the values of a recipe by dotted key."""
    if not isinstance(data, Mapping) or not data:
        return {path: data}
    inside = (_leaves(inner, f"{path}.{name}" if path else str(name)) for name, inner in data.items())
    return {key: value for leaves in inside for key, value in leaves.items()}


def _known(numbers: Numbers) -> dict[str, float]:
    """Return the last known value of each column."""
    known = {name: [y for y in values if y is not None] for name, values in numbers.columns.items()}
    return {name: values[-1] for name, values in known.items() if values}


def text(value: Any) -> str:
    """Return a value of a table as text."""
    if isinstance(value, bool | list | dict):
        return json.dumps(value)
    return "" if value is None else number(value)


def page(compared: Comparison, warn: Callable[[str], None]) -> str:
    """Make the page; `warn` is called for pictures that cannot be shown."""
    charts: list[Chart] = []
    sections = [
        section(
            "Runs",
            _table(compared.names, compared.tables()["run"]),
            *(tag("p", f"{said[0].upper()}{said[1:]}.", class_="note") for said in compared.lacking()),
        ),
        *_differences(compared),
        *_pictures(compared, warn),
        *_curves(compared, charts),
        *_named("Results", compared, compared.results()),
        *_named("Last losses", compared, compared.losses()),
    ]
    head = tag(
        "header",
        tag("p", "Comparison of runs", class_="kicker"),
        tag("h1", " · ".join(compared.names) if len(compared.names) < 4 else f"{len(compared.names)} runs"),
    )
    return assembled("Comparison of runs", head, sections, charts)


def _named(name: str, compared: Comparison, rows: Rows) -> Iterator[Element]:
    if rows:
        yield section(name, _table(compared.names, rows))


def _differences(compared: Comparison) -> Iterator[Element]:
    rows = compared.recipes()
    note = "Values of the resolved recipes that differ." if rows else "The recipes are the same."
    yield section("Recipe", tag("p", note, class_="note"), _table(compared.names, rows) if rows else None)


def _table(names: Sequence[str], rows: Rows) -> Element:
    head = tag("tr", tag("td"), *(tag("th", name, scope="col", class_="number") for name in names))
    body = [
        tag("tr", tag("th", key, scope="row"), *(tag("td", text(value), class_="number") for value in values))
        for key, values in rows.items()
    ]
    table = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="values by run")


def _curves(compared: Comparison, charts: list[Chart]) -> Iterator[Element]:
    """Yield a section with a chart for each loss and metric, with a curve for each run."""
    logged = [run.losses.thinned() for run in compared.runs]
    figures = []
    for name in dict.fromkeys(name for numbers in logged for name in numbers.columns):
        those = [(run, numbers) for run, numbers in zip(compared.names, logged, strict=True) if name in numbers.columns]
        steps = sorted({step for _, numbers in those for step in numbers.steps})
        lines = {run: _between(numbers, name, steps) for run, numbers in those}
        chart = {"x": steps, "last": max(run.step for run in compared.runs), "log": True, "lines": lines_of(lines)}
        rows = [(run, ends_of(values), list[str]()) for run, values in lines.items()]
        figures.append(figure(charts, chart, name, None, rows, []))
    if figures:
        control = tag("label", tag("input", type="checkbox", id="logarithmic"), " logarithmic", class_="switch")
        note = "Losses without their weights. Faint lines: logged values. Strong lines: smoothed values."
        yield section("Curves", tag("p", note, class_="note"), control, tag("div", *figures, class_="charts"))


def _between(numbers: Numbers, name: str, steps: Sequence[int]) -> list[float | None]:
    """Return a curve at other steps: between two logged values on the line through them, None outside of them."""
    known = [(x, y) for x, y in zip(numbers.steps, numbers.columns[name], strict=True) if y is not None]
    places = [x for x, _ in known]
    found: list[float | None] = []
    for step in steps:
        n = bisect_left(places, step)
        if n < len(known) and places[n] == step:
            found.append(known[n][1])
        elif 0 < n < len(known):
            (x0, y0), (x1, y1) = known[n - 1], known[n]
            found.append(y0 + (y1 - y0) * (step - x0) / (x1 - x0))
        else:
            found.append(None)
    return found


def _pictures(compared: Comparison, warn: Callable[[str], None]) -> Iterator[Element]:
    """Yield a section with the pictures of hooks that several runs have, beside each other at equal steps."""
    found = [drawn(run.folder / "samples") for run in compared.runs]
    figures = []
    for n, family in enumerate(dict.fromkeys(name for families in found for name in families)):
        by_run = [families.get(family, {}) for families in found]
        shared = [s for s in sorted({s for of in by_run for s in of}) if sum(s in of for of in by_run) > 1]
        steps = thinned(shared, max(2, MOST_GRIDS // len(by_run)))
        groups = [_group(compared.names, family, step, [of.get(step) for of in by_run], warn) for step in steps]
        if groups:
            figures.append(_family(family, groups, f"slider-{n}", len(steps) < len(shared)))
    if figures:
        yield section("Samples", tag("div", *figures, class_="families"))


def _group(
    names: Sequence[str], family: str, step: int, files: Sequence[Path | None], warn: Callable[[str], None]
) -> Element:
    """Make the pictures of one step, each below the name of its run."""
    cells = []
    for name, file in zip(names, files, strict=True):
        shown = tag("p", "no picture", class_="note")
        if file is not None:
            try:
                picture = read_picture(file)
                picture.thumbnail((MOST_WIDE, 16383), Image.Resampling.LANCZOS)
                width, height = picture.size
                shown = tag("img", src=uri(picture), width=width, height=height, alt=f"{family} of {name}")
            except DataError as error:
                warn(str(error))
        cells.append(tag("div", tag("p", name, class_="note"), shown))
    return tag("div", tag("div", *cells, class_="beside"), data_step=step, hidden="")


def _family(family: str, groups: list[Element], slider: str, fewer: bool) -> Element:
    last = len(groups) - 1
    del groups[-1].attrib["hidden"]
    control = tag(
        "p",
        tag("label", "after step", for_=slider),
        tag("output", f"{int(groups[-1].attrib['data-step']):,}"),
        tag("input", type="range", id=slider, min=0, max=last, value=last, disabled=None if last else ""),
        class_="slider",
    )
    few = tag("p", "Some steps, evenly spaced; all pictures are in the folders samples of the runs.", class_="note")
    return tag(
        "figure",
        tag("figcaption", tag("h3", family)),
        control,
        tag("div", *groups, class_="pictures"),
        few if fewer else None,
        class_="family wide",
    )
