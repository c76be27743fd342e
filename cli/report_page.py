"""The page about a run: its sections, in the order in which a person asks."""

from __future__ import annotations

import base64
import io
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import TypeAdapter
from rich.filesize import decimal

from i2i_core import __version__
from i2i_core.errors import DataError
from i2i_core.pictures import read_picture
from i2i_core.schedules import Ramp, Schedule

from .report_html import Child, Element, data, document, tag
from .report_run import Family, Line, Numbers, Told, flat

ASSETS = Path(__file__).parent / "report_assets"
MOST_WIDE = 1200
"""Pictures are made this many pixels wide at most."""
Chart = dict[str, Any]


def page(told: Told, warn: Callable[[str], None]) -> str:
    """The whole page; `warn` hears of pictures that cannot be shown."""
    charts: list[Chart] = []
    title = told.folder.resolve().name
    sections = [*_samples(told, warn), *_losses(told, charts), *_measured(told), *_rates(told, charts),
                *_speed(told, charts), *_recipe(told), *_versions(told)]
    contents = tag("nav", *(tag("a", section[0].text, href=f"#{section.get('id')}") for section in sections),
                   aria_label="Contents")
    written = (f"Written by i2i {__version__} on {time.strftime('%Y-%m-%d at %H:%M')}. This page is one file; "
               f"it loads nothing.")
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return document(f"{title} · i2i", style, script, _head(told, title), contents, tag("main", *sections),
                    tag("footer", tag("p", written)), data("charts", charts))


def _section(name: str, *children: Child, **attributes: object) -> Element:
    return tag("section", tag("h2", name), *children, id=name.lower().replace(" ", "-"), **attributes)


# What it is, and how it went.


def _head(told: Told, title: str) -> Element:
    recipe, status = told.recipe, told.status
    height, width = recipe.data.image_size
    domains = f" ({', '.join(told.domains)})" if told.domains else ""
    lead = f"{recipe.method.use} on {recipe.data.use}{domains} at {width} × {height} pixels."
    facts = [("steps", f"{told.step:,}", f"of {recipe.steps:,}"), *_pace(told),
             ("batch", f"{recipe.data.batch_size:,}", "pictures a step"), ("seed", str(recipe.seed), None)]
    state = str(status.get("status", "unknown"))
    said = {"running": "running, when this page was written", "finished": "finished"}.get(state, state)
    when = f" {status['time'][:16].replace('T', ' ')}" if isinstance(status.get("time"), str) else ""
    when = f", begun{when}" if state == "running" and when else when
    return tag("header",
               tag("p", "Report of a run", class_="kicker"), tag("h1", title), tag("p", lead, class_="lead"),
               tag("p", tag("span", said, class_=f"state {state}"), tag("span", when)),
               tag("p", str(status["message"]), class_="message") if status.get("message") else None,
               tag("dl", *(tag("div", tag("dt", name), tag("dd", value), tag("dd", unit, class_="unit") if unit else None)
                           for name, value, unit in facts), class_="facts"))


def _pace(told: Told) -> Iterator[tuple[str, str, str | None]]:
    seconds = sorted(value for value in told.speed.columns.get("seconds", ()) if value)
    memory = [value for value in told.speed.columns.get("memory", ()) if value]
    if told.seconds:
        yield "time", *_duration(told.seconds)
    if seconds:
        middle = seconds[len(seconds) // 2]
        yield "a step", *_duration(middle)
        yield "speed", f"{told.recipe.data.batch_size / middle:.3g}", "pictures a second"
    if memory:
        value, unit = decimal(round(max(memory))).split()
        yield "peak memory", value, unit
    elif not seconds:
        return


def _duration(seconds: float) -> tuple[str, str]:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}", unit
    return (f"{seconds:.3g}", "s") if seconds >= 1 else (f"{1000 * seconds:.3g}", "ms")


# Pictures over time.


def _samples(told: Told, warn: Callable[[str], None]) -> Iterator[Element]:
    figures = [figure for family in told.families if (figure := _family(told, family, warn)) is not None]
    if figures:
        yield _section("Samples", tag("div", *figures, class_="families"))


def _family(told: Told, family: Family, warn: Callable[[str], None]) -> Element | None:
    """A figure with all its pictures, of which one is shown, and a slider; without scripts, the last one."""
    shown = []
    for step, file in family.pictures:
        try:
            picture = read_picture(file)
        except DataError as error:
            warn(str(error))
            continue
        shown.append((step, picture.size, _uri(picture)))
    if not shown:
        return None
    images = [tag("img", src=uri, width=width, height=height, alt=f"{family.name} after {step:,} steps",
                  data_step=step, decoding="sync", hidden=None if (step, uri) == (shown[-1][0], shown[-1][2]) else "")
              for step, (width, height), uri in shown]
    few = f"{len(shown)} of {family.found} pictures, evenly spread; all are in the run's folder samples/."
    slider = tag("input", type="range", min=0, max=len(shown) - 1, step=1, value=len(shown) - 1,
                 id=f"slider-{family.name}", disabled="" if len(shown) == 1 else None)
    control = tag("p", tag("label", "after step ", for_=f"slider-{family.name}"), tag("output", f"{shown[-1][0]:,}"),
                  slider, class_="slider")
    wide = shown[-1][1][0] > 700
    return tag("figure", tag("figcaption", tag("h3", family.name), tag("p", _drawn(told, family.name), class_="note")),
               tag("div", *images, class_="pictures"), control,
               tag("p", few, class_="note") if len(shown) < family.found else None,
               class_="family wide" if wide else "family")


def _drawn(told: Told, family: str) -> str | None:
    """What the pictures show, where a hook of the core drew them."""
    for hook in told.recipe.all_hooks().values():
        if hook.use == "sample_grid" and family == (hook.params.get("phase") or hook.params.get("show")):
            return "Held-out sources along the top; below them a row per style."
    return None


def _uri(picture: Image.Image) -> str:
    if picture.width > MOST_WIDE:
        picture = picture.resize((MOST_WIDE, round(picture.height * MOST_WIDE / picture.width)),
                                 Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "webp", quality=90)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


# Curves.


def _losses(told: Told, charts: list[Chart]) -> Iterator[Element]:
    """A chart for each phase, then one for each other group of numbers that hooks logged."""
    numbers = told.losses.thinned()
    groups: dict[str, dict[str, list[float | None]]] = {phase: {} for phase in told.recipe.phases}
    for name, values in numbers.columns.items():
        group, slash, short = name.partition("/")
        groups.setdefault(group if slash else "", {})[short if slash else name] = values
    figures = [_phase(told, charts, group, numbers, columns) for group, columns in groups.items() if columns]
    if figures:
        note = f" A point is the mean of {numbers.every:,} logged steps." if numbers.every > 1 else ""
        control = tag("label", tag("input", type="checkbox", id="logarithmic"), " logarithmic", class_="switch")
        yield _section("Losses", tag("p", f"Before their weights: faint as logged, strong smoothed.{note}",
                                     class_="note"), control, tag("div", *figures, class_="charts"))


def _phase(told: Told, charts: list[Chart], group: str, numbers: Numbers, columns: Mapping[str, Any]) -> Element:
    phase = told.recipe.phases.get(group)
    ramps = told.ramps(group) if phase else {}
    changing = {name: ramp for name, (ramp, _) in ramps.items() if not ramp.constant and name in columns}
    chart = {"x": numbers.steps, "last": told.step, "log": True, "lines": _lines(columns)}
    if changing:
        steps = _spread(told.step)
        chart["strip"] = {"x": steps, "lines": [{"name": name, "y": [_short(ramp(step)) for step in steps]}
                                                for name, ramp in changing.items()]}
    rows = []
    for name, values in columns.items():
        ramp, every = ramps.get(name, (None, 1))
        weight = f"{ramp or ''}" + (f", every {every} steps" if every > 1 else "")
        rows.append((name, _ends(values), [weight] if phase else []))
    trains = f"trains {', '.join(phase.train)}" if phase else "logged by a hook"
    return _figure(charts, chart, group or "other", trains, rows, ["weight"] if phase else [])


def _rates(told: Told, charts: list[Chart]) -> Iterator[Element]:
    """The learning rate of each network over the whole run."""
    networks = list(dict.fromkeys(name for phase in told.recipe.phases.values() for name in phase.train))
    written = {name: told.recipe.optimizer(name).get("lr") for name in networks}
    ramps: dict[str, Ramp] = {name: TypeAdapter(Schedule).validate_python(lr)
                              for name, lr in written.items() if lr is not None}
    if ramps:
        steps = _spread(told.recipe.steps)
        lines = [{"name": name, "y": [_short(ramp(step)) for step in steps]} for name, ramp in ramps.items()]
        chart = {"x": steps, "last": told.recipe.steps, "lines": lines, "exact": True}
        rows = [(name, (f"{ramp(0):.3g}", f"{ramp(told.recipe.steps - 1):.3g}"), [str(ramp)])
                for name, ramp in ramps.items()]
        yield _section("Learning rates", _figure(charts, chart, None, None, rows, ["schedule"]))


def _speed(told: Told, charts: list[Chart]) -> Iterator[Element]:
    numbers, batch = told.speed.thinned(), told.recipe.data.batch_size
    seconds = numbers.columns.get("seconds", [])
    if any(seconds):
        lines = {"pictures a second": [batch / value if value else None for value in seconds],
                 "seconds a step": seconds}
        chart = {"x": numbers.steps, "last": told.step, "lines": _lines(lines), "drawn": 1}
        note = "Between two logged steps, with whatever else was done meanwhile: pictures drawn, checkpoints saved."
        where = told.env.get("device", "cpu")
        if any(memory := numbers.columns.get("memory", [])):
            lines["gigabytes at most"] = [value / 1e9 if value else None for value in memory]
            chart["lines"] = _lines(lines)
            note += f" Memory is that of {'the process' if where == 'cpu' else f'tensors on the {where}'}."
        yield _section("Speed", tag("p", note, class_="note"),
                       _figure(charts, chart, None, None, [(n, _ends(v), []) for n, v in lines.items()], []))


def _figure(charts: list[Chart], chart: Chart, title: str | None, note: str | None,
            rows: list[tuple[str, tuple[str, str], list[str]]], more: list[str]) -> Element:
    """A chart, which a script draws, and the table that names its lines: its last column follows the pointer."""
    charts.append(chart)
    head = tag("tr", tag("th", ""), *(tag("th", name, scope="col") for name in more),
               tag("th", "first", scope="col", class_="number"), tag("th", "last", scope="col", class_="number now"))
    body = [tag("tr", tag("th", tag("i", class_=f"swatch s{n % 8}"), name, scope="row"),
                *(tag("td", said) for said in extra), tag("td", ends[0], class_="number"),
                tag("td", ends[1], class_="number now")) for n, (name, ends, extra) in enumerate(rows)]
    caption = tag("figcaption", tag("h3", title), tag("p", note, class_="note")) if title else None
    return tag("figure", caption, tag("div", class_="plot", data_chart=len(charts) - 1),
               tag("table", tag("thead", head), tag("tbody", *body)), class_="chart")


def _lines(columns: Mapping[str, list[float | None]]) -> list[Chart]:
    return [{"name": name, "y": [_short(value) for value in values]} for name, values in columns.items()]


def _short(value: float | None) -> float | None:
    """Four digits are enough to draw."""
    return None if value is None else float(f"{value:.4g}")


def _spread(last: int) -> list[int]:
    """Steps from 0 to the last, as many as are drawn."""
    n = min(last, 400)
    return sorted({round(i * last / max(n, 1)) for i in range(n + 1)})


def _ends(values: list[float | None]) -> tuple[str, str]:
    known = [value for value in values if value is not None]
    return (_number(known[0]), _number(known[-1])) if known else ("", "")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# What was measured, the recipe, versions.


def _measured(told: Told) -> Iterator[Element]:
    tables = [_table(name, found) for name, found in told.measured.items()]
    if tables:
        yield _section("Results", *tables)


def _table(name: str, found: Any) -> Element:
    """A row for each mapping of a mapping of mappings, else one for each key."""
    facts = found if isinstance(found, dict) else {"": found}
    if all(isinstance(row, dict) for row in facts.values()):
        rows = {row: flat(values) for row, values in facts.items()}
        heads = list(dict.fromkeys(key for values in rows.values() for key in values))
    else:
        rows, heads = {key: {"": value} for key, value in flat(facts).items()}, [""]
    head = tag("tr", tag("th", ""), *(tag("th", key, scope="col", class_="number") for key in heads))
    body = [tag("tr", tag("th", row, scope="row"), *(tag("td", _number(values.get(key, "")), class_="number")
                                                   for key in heads)) for row, values in rows.items()]
    return tag("div", tag("table", tag("caption", f"eval/{name}"), tag("thead", head), tag("tbody", *body)),
               class_="scroll", tabindex=0, role="region", aria_label=name)


def _recipe(told: Told) -> Iterator[Element]:
    blocks: list[list[Line]] = []
    for line in told.lines:
        if not line.depth and not (blocks and line.origin and blocks[-1][-1].depth == 0 and blocks[-1][-1].origin):
            blocks.append([])
        blocks[-1].append(line)
    note = "As resolved: strong is what was set, with where it comes from; faint is default."
    switch = tag("label", tag("input", type="checkbox", id="defaults", checked=""), " defaults", class_="switch")
    yield _section("Recipe", tag("p", note, class_="note"), switch,
                   tag("div", *(tag("div", *map(_line, block)) for block in blocks), class_="recipe"))


def _line(line: Line) -> Element:
    origin = line.origin if line.origin not in ("", "default") else None
    kind = "default" if line.default else "command" if line.origin.startswith("--set") else "written"
    return tag("p", tag("code", f"{line.key}:", class_="key"), " " if line.value else None,
               tag("code", line.value, class_="value") if line.value else None,
               tag("span", origin.partition(" ")[0] if kind == "command" else origin, class_="origin") if origin else None,
               class_=f"{kind} depth-{line.depth}")


def _versions(told: Told) -> Iterator[Element]:
    env = told.env
    plugins = env.get("plugins", {})
    rows = {**env.get("versions", {}), **{name: str(origin).rpartition("==")[2] for name, origin in plugins.items()},
            **{name: env[name] for name in ("python", "platform", "device") if name in env},
            **{said: env[key] for key, said in (("world_size", "processes"), ("threads", "threads")) if key in env}}
    if rows:
        body = [tag("tr", tag("th", name, scope="row"), tag("td", str(value))) for name, value in rows.items()]
        command = tag("pre", tag("code", shlex.join(map(str, env["command"]))), tabindex=0) if "command" in env else None
        yield _section("Versions", tag("table", tag("tbody", *body), class_="facts-table"), command)
