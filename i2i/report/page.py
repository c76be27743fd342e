"""The report page of a run, section by section."""

from __future__ import annotations

import base64
import io
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from rich.filesize import decimal

from i2i.report.curves import Chart, losses, number, rates, speed
from i2i.report.html import Element, data, document, section, tag
from i2i.report.run_report import Family, Line, RunReport, flat
from i2i_core import __version__
from i2i_core.data.decoding.files import read_picture
from i2i_core.data.pictures import MOST_SIDE
from i2i_core.errors import DataError

ASSETS = Path(__file__).parent
WIDE, MOST_WIDE, MOST_HIGH = 700, 1200, MOST_SIDE[".webp"]
"""Pictures up to WIDE pixels wide are shown at twice their size; those above the other limits are reduced."""


def page(report: RunReport, warn: Callable[[str], None]) -> str:
    """Make the whole page; `warn` is called for pictures that cannot be shown."""
    charts: list[Chart] = []
    title = report.folder.resolve().name
    sections = [
        *_samples(report, warn),
        *_start(report),
        *losses(report, charts),
        *_measured(report),
        *rates(report, charts),
        *speed(report, charts),
        *_recipe(report),
        *_versions(report),
    ]
    return assembled(title, _head(report, title), sections, charts)


def assembled(title: str, head: Element, sections: list[Element], charts: list[Chart]) -> str:
    """Make a page of a head and sections, with a table of contents and the data of charts."""
    contents = tag(
        "nav", *(tag("a", part[0].text, href=f"#{part.get('id')}") for part in sections), aria_label="Contents"
    )
    scripts = tag(
        "noscript", tag("p", "Charts and sliders need JavaScript. This page runs only its own script.", class_="note")
    )
    written = (
        f"Written by i2i {__version__} on {time.strftime('%Y-%m-%d at %H:%M')}. This page is a single file "
        f"and loads no other files."
    )
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return document(
        f"{title} · i2i",
        style,
        script,
        head,
        contents,
        scripts,
        tag("main", *sections),
        tag("footer", tag("p", written)),
        data("charts", charts),
    )


# The header: the recipe and the state of the run.


def _head(report: RunReport, title: str) -> Element:
    recipe, status = report.recipe, report.status
    height, width = recipe.data.image_size
    domains = f" ({', '.join(report.domains)})" if report.domains else ""
    lead = f"{recipe.method.use} on {recipe.data.use}{domains} at {width} × {height} pixels."
    facts = [
        ("steps", f"{report.step:,}", f"of {recipe.steps:,}"),
        *_pace(report),
        ("batch size", f"{recipe.data.batch_size:,}", "pictures per step"),
    ]
    state, when = str(status.get("status", "unknown")), str(status.get("time", ""))[:16].replace("T", " ")
    since = f" since {when}; last logged {report.logged}" if state == "running" and report.logged else f" {when}"
    return tag(
        "header",
        tag("p", "Report of a run", class_="kicker"),
        tag("h1", title),
        tag("p", lead, class_="lead"),
        tag("p", tag("span", state, class_=f"state {state}"), tag("span", since)),
        tag("p", str(status["message"]), class_="message") if status.get("message") else None,
        tag(
            "dl",
            *(
                tag("div", tag("dt", name), tag("dd", value), tag("dd", unit, class_="unit"))
                for name, value, unit in facts
            ),
            class_="facts",
        ),
    )


def _pace(report: RunReport) -> Iterator[tuple[str, ...]]:
    seconds = sorted(value for value in report.speed.columns.get("seconds", ()) if value)
    memory = [value for value in report.speed.columns.get("memory", ()) if value]
    if report.seconds:
        yield "time", *_duration(report.seconds)
    if seconds:
        middle = seconds[len(seconds) // 2]
        yield "per step", *_duration(middle)
        yield "speed", f"{report.recipe.data.batch_size / middle:.3g}", "pictures per second"
    if memory:
        yield "peak memory", *decimal(round(max(memory))).split()


def _duration(seconds: float) -> tuple[str, str]:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}", unit
    return (f"{seconds:.3g}", "s") if seconds >= 1 else (f"{1000 * seconds:.3g}", "ms")


# Sample grids over time.


def _samples(report: RunReport, warn: Callable[[str], None]) -> Iterator[Element]:
    figures = [
        figure
        for n, family in enumerate(report.families)
        if (figure := _family(report, family, f"slider-{n}", warn)) is not None
    ]
    if figures:
        yield section("Samples", tag("div", *figures, class_="families"))


def _family(report: RunReport, family: Family, slider: str, warn: Callable[[str], None]) -> Element | None:
    """Make a figure with the pictures of a hook and a slider that selects one; without scripts, the last is shown."""
    images = []
    for step, file in family.pictures:
        try:
            picture = read_picture(file)
        except DataError as error:
            warn(str(error))
            continue
        picture.thumbnail((MOST_WIDE, MOST_HIGH), Image.Resampling.LANCZOS)
        scale = 2 if picture.width <= WIDE else 1
        images.append(
            tag(
                "img",
                src=uri(picture),
                width=scale * picture.width,
                height=scale * picture.height,
                data_step=step,
                alt=f"{family.name} after step {step:,}",
                decoding="sync",
                hidden="",
            )
        )
    if not images:
        return None
    del images[-1].attrib["hidden"]
    last = len(images) - 1
    control = tag(
        "p",
        tag("label", "after step", for_=slider),
        tag("output", f"{int(images[-1].attrib['data-step']):,}"),
        tag("input", type="range", id=slider, min=0, max=last, value=last, disabled=None if last else ""),
        class_="slider",
    )
    few = f"{len(images)} of {family.found} pictures, evenly spaced; all are in the folder samples of the run."
    return tag(
        "figure",
        tag("figcaption", tag("h3", family.name), tag("p", _drawn(report, family.name), class_="note")),
        control,
        tag("div", *images, class_="pictures"),
        tag("p", few, class_="note") if len(family.pictures) < family.found else None,
        class_="family wide" if scale == 1 else "family",
    )


def _drawn(report: RunReport, family: str) -> str | None:
    """Return the caption of pictures that the hook sample_grid drew; None for other hooks."""
    drawn = [name for name, hook in report.recipe.all_hooks().items() if hook.use == "sample_grid"]
    caption = (
        "Top row: held-out sources. Other rows: translations, one style for each row, with its domain at the left."
    )
    return caption if family in drawn else None


def uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "webp", quality=90)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


# Start, results, recipe and versions.


def _start(report: RunReport) -> Iterator[Element]:
    """Yield a section that says from what the run started, and what it took."""
    sources = [source for source in report.start.get("sources", ()) if isinstance(source, dict)]
    if sources:
        named = [f"{s.get('from')}, step {s['step']}" if "step" in s else str(s.get("from")) for s in sources]
        rows = [
            tag("tr", tag("th", name, scope="row"), tag("td", said_of(facts)))
            for name, facts in report.start.get("parts", {}).items()
        ]
        note = tag("p", f"From {'; '.join(named)}.", class_="note")
        yield section("Start", note, tag("table", tag("tbody", *rows), class_="facts-table"))


def said_of(facts: dict[str, Any]) -> str:
    """Return what a part of the run took, as in the lines that the run began with."""
    return "; ".join([f"{facts.get('taken')} of {facts.get('of')} tensors", *map(str, facts.get("notes", ()))])


def _measured(report: RunReport) -> Iterator[Element]:
    tables = [_table(name, found) for name, found in report.measured.items()]
    if tables:
        yield section("Results", *tables)


def _table(name: str, found: Any) -> Element:
    """Make a table with a row for each inner mapping, or for each key if there are no inner mappings."""
    facts = found if isinstance(found, dict) else {"": found}
    if all(isinstance(row, dict) for row in facts.values()):
        rows = {row: flat(values) for row, values in facts.items()}
        heads = list(dict.fromkeys(key for values in rows.values() for key in values))
    else:
        rows, heads = {key: {"": value} for key, value in flat(facts).items()}, [""]
    head = tag("tr", tag("td"), *(tag("th", key, scope="col", class_="number") for key in heads))
    body = [
        tag(
            "tr",
            tag("th", row, scope="row"),
            *(tag("td", number(values.get(key, "")), class_="number") for key in heads),
        )
        for row, values in rows.items()
    ]
    return tag(
        "div",
        tag("table", tag("caption", f"eval/{name}"), tag("thead", head), tag("tbody", *body)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=name,
    )


def _recipe(report: RunReport) -> Iterator[Element]:
    blocks: list[list[Line]] = []
    for line in report.lines:
        if not line.depth and not (blocks and line.origin and blocks[-1][-1].depth == 0 and blocks[-1][-1].origin):
            blocks.append([])
        blocks[-1].append(line)
    note = "The resolved recipe. Strong: values that were set, with their origin. Faint: default values."
    switch = tag("label", tag("input", type="checkbox", id="defaults", checked=""), " show defaults", class_="switch")
    yield section(
        "Recipe",
        tag("p", note, class_="note"),
        switch,
        tag("div", *(tag("div", *map(_line, block)) for block in blocks), class_="recipe"),
    )


def _line(line: Line) -> Element:
    kind = "default" if line.default else "command" if line.origin.startswith("--set ") else "written"
    origin = {"default": None, "command": "--set"}.get(kind, line.origin)
    return tag(
        "p",
        tag("code", f"{line.key}:", class_="key"),
        " " if line.value else None,
        tag("code", line.value, class_="value") if line.value else None,
        tag("span", origin, class_="origin") if origin else None,
        class_=f"{kind} depth-{line.depth}",
    )


def _versions(report: RunReport) -> Iterator[Element]:
    env = report.env
    plugins = env.get("plugins", {})
    rows = {
        **env.get("versions", {}),
        **{name: str(origin).rpartition("==")[2] for name, origin in plugins.items()},
        **{name: env[name] for name in ("python", "platform", "device") if name in env},
        **{label: env[key] for key, label in (("world_size", "processes"), ("threads", "threads")) if key in env},
    }
    if rows:
        body = [tag("tr", tag("th", name, scope="row"), tag("td", str(value))) for name, value in rows.items()]
        command = tag("pre", tag("code", shlex.join(map(str, env["command"])))) if "command" in env else None
        yield section("Versions", tag("table", tag("tbody", *body), class_="facts-table"), command)
