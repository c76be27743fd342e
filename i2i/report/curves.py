"""Charts of numbers over steps, which the page's script draws, each with a table of its lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from i2i.logged import Numbers
from i2i.report.html import Element, section, tag
from i2i.report.run_report import RunReport
from i2i_core.interfaces import Schedule

Chart = dict[str, Any]
"""Data for the script: `lines` over the steps `x`, from step 0 to `last`, and a `strip` of weights below them."""


def losses(report: RunReport, charts: list[Chart]) -> Iterator[Element]:
    """Yield a section with a chart for each phase, and one for each other group of logged numbers."""
    numbers = report.losses.thinned()
    groups: dict[str, dict[str, list[float | None]]] = {phase: {} for phase in report.recipe.phases}
    for name, values in numbers.columns.items():
        group, slash, short = name.partition("/")
        groups.setdefault(group if slash else "", {})[short if slash else name] = values
    figures = [_phase(report, charts, group, numbers, columns) for group, columns in groups.items() if columns]
    if figures:
        note = f" A point is the mean of {numbers.every:,} logged steps." if numbers.every > 1 else ""
        control = tag("label", tag("input", type="checkbox", id="logarithmic"), " logarithmic", class_="switch")
        yield section(
            "Losses",
            tag(
                "p",
                f"Losses without their weights. Faint lines: logged values. Strong lines: smoothed values.{note}",
                class_="note",
            ),
            control,
            tag("div", *figures, class_="charts"),
        )


def _phase(report: RunReport, charts: list[Chart], group: str, numbers: Numbers, columns: Mapping[str, Any]) -> Element:
    phase = report.recipe.phases.get(group)
    weights = report.weights(group) if phase else {}
    steps = _spread(report.step)
    drawn = {
        name: [weight(step) for step in steps]
        for name, (weight, _) in weights.items()
        if weight is not None and name in columns
    }
    changing = {name: values for name, values in drawn.items() if len({*values}) > 1}
    chart = {"x": numbers.steps, "last": report.step, "log": True, "lines": lines_of(columns)}
    if changing:
        chart["strip"] = {"x": steps, "lines": lines_of(changing)}
    rows = []
    for name, values in columns.items():
        weight, every = weights.get(name, (None, 1))
        text = f"{weight or ''}" + (f", every {every} steps" if every > 1 else "")
        rows.append((name, ends_of(values), [text] if phase else []))
    trains = " ".join(filter(None, (f"trains {', '.join(phase.train)}", phase.when))) if phase else "logged by a hook"
    return figure(charts, chart, group or "other", trains, rows, ["weight"] if phase else [])


def rates(report: RunReport, charts: list[Chart]) -> Iterator[Element]:
    """Yield a section with each learning rate over the whole run, and the networks that use it."""
    networks = dict.fromkeys(name for phase in report.recipe.phases.values() for name in phase.train)
    rates: dict[str, tuple[Schedule, list[str]]] = {}
    for name in networks:
        lr = report.recipe.optimizer(name).get("lr")
        if lr is not None and (schedule := report.schedule(lr)) is not None:
            rates.setdefault(str(lr), (schedule, []))[1].append(name)
    if rates:
        steps, last = _spread(report.recipe.steps), report.recipe.steps
        named = {", ".join(names): rate for rate, names in rates.values()}
        lines = {name: [rate(step) for step in steps] for name, rate in named.items()}
        rows = [(name, (number(rate(0)), number(rate(last - 1))), [str(rate)]) for name, rate in named.items()]
        yield section(
            "Learning rates",
            figure(
                charts,
                {"x": steps, "last": last, "lines": lines_of(lines), "exact": True},
                None,
                None,
                rows,
                ["schedule"],
            ),
        )


def speed(report: RunReport, charts: list[Chart]) -> Iterator[Element]:
    """Yield a section with pictures per second as a curve, and seconds and memory in its table."""
    numbers, batch, env = report.speed.thinned(), report.recipe.data.batch_size, report.env
    seconds, memory = (numbers.columns.get(name, []) for name in ("seconds", "memory"))
    if any(seconds):
        whose = f"of tensors on the {env['device']}" if env.get("device", "cpu") != "cpu" else "of the process"
        whose += ", in the first process" * (env.get("world_size", 1) > 1)
        lines = {
            "pictures per second": [batch / value if value else None for value in seconds],
            "seconds per step": seconds,
            "peak memory in GB": [value / 1e9 if value else None for value in memory],
        }
        note = (
            "Average between two logged steps, including the time to draw pictures and save checkpoints. "
            f"Memory: the peak {whose}."
        )
        yield section(
            "Speed",
            tag("p", note, class_="note"),
            figure(
                charts,
                {"x": numbers.steps, "last": report.step, "lines": lines_of(lines), "drawn": 1},
                None,
                None,
                [(name, ends_of(values), []) for name, values in lines.items()],
                [],
            ),
        )


def figure(
    charts: list[Chart],
    chart: Chart,
    title: str | None,
    note: str | None,
    rows: list[tuple[str, tuple[str, str], list[str]]],
    more: list[str],
) -> Element:
    """Make a chart, which the script draws, and the table of its lines, whose last column follows the pointer."""
    charts.append(chart)
    head = tag(
        "tr",
        tag("td"),
        *(tag("th", name, scope="col") for name in more),
        tag("th", "first", scope="col", class_="number"),
        tag("th", "last", scope="col", class_="number now"),
    )
    body = [
        tag(
            "tr",
            tag(
                "th",
                tag("i", class_=f"swatch s{n % 8}") if n < chart.get("drawn", len(rows)) else None,
                name,
                scope="row",
            ),
            *(tag("td", text) for text in extra),
            tag("td", ends[0], class_="number"),
            tag("td", ends[1], class_="number now"),
        )
        for n, (name, ends, extra) in enumerate(rows)
    ]
    caption = tag("figcaption", tag("h3", title), tag("p", note, class_="note")) if title else None
    plot = tag("div", class_="plot strip" if "strip" in chart else "plot", data_chart=len(charts) - 1)
    return tag("figure", caption, plot, tag("table", tag("thead", head), tag("tbody", *body)), class_="chart")


def lines_of(columns: Mapping[str, Sequence[float | None]]) -> list[Chart]:
    return [{"name": name, "y": [_short(value) for value in values]} for name, values in columns.items()]


def _short(value: float | None) -> float | None:
    """Round to four digits, which are enough for a chart."""
    return None if value is None else float(f"{value:.4g}")


def _spread(last: int) -> list[int]:
    """Return at most 401 evenly spaced steps from 0 to the last."""
    n = min(last, 400)
    return sorted({round(i * last / max(n, 1)) for i in range(n + 1)})


def ends_of(values: list[float | None]) -> tuple[str, str]:
    known = [value for value in values if value is not None]
    return (number(known[0]), number(known[-1])) if known else ("", "")


def number(value: object) -> str:
    """Format a number with four digits, and other values with str."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("e-0", "e-") if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
