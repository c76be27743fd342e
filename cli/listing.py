"""The subcommands `i2i ls`, `i2i show` and `i2i plugins`."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import click

from i2i_core.errors import UsageError
from i2i_core.registry.entries import KINDS

from .common import new_table, print_json, print_tables, subcommand, with_json, with_plugins

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from i2i_core.errors import Problem
    from i2i_core.registry.entries import Entry
    from i2i_core.registry.plugins import Plugins

RECIPE = "recipe"


@subcommand
@click.argument("kind", required=False, type=click.Choice([*KINDS, RECIPE]), metavar="[KIND]")
@with_json
@with_plugins
def ls(plugins: Plugins, kind: str | None, as_json: bool) -> None:
    """List components and bundled recipes.

    KIND is one of network, loss, tensor, method, hook, optimizer, schedule, dataset, trainer, recipe.

    \b
    i2i ls
    i2i ls loss
    i2i ls recipe
    """
    rows = [] if kind == RECIPE else _components(plugins, kind)
    if kind in (None, RECIPE):
        rows += _recipes(plugins)
    if as_json:
        print_json(rows)
        return
    table = new_table("kind", "name", "")
    for row in rows:
        table.add_row(row["kind"], row["name"], row.get("summary", ""))
    print_tables(table)


def _components(plugins: Plugins, kind: str | None) -> list[dict[str, Any]]:
    from i2i_core.registry.plugins import BUNDLED, load_registry_file

    from .catalogue import known_components, read_summary

    known = known_components(load_registry_file(BUNDLED)) | known_components(plugins.listed)
    entries = sorted(
        (e for e in plugins.registry if kind in (None, e.kind)),
        key=lambda e: (KINDS.index(e.kind), e.plugin != "core", e.name),
    )
    return [
        {
            "kind": e.kind,
            "name": e.name,
            "plugin": e.plugin,
            **(known.get((e.kind, e.name)) or {"summary": read_summary(e)}),
        }
        for e in entries
    ]


def _recipes(plugins: Plugins) -> list[dict[str, Any]]:
    """List bundled recipes by plugin; the comment in the first line of a recipe is its summary."""
    found = plugins.recipes()
    owners = {file: row.name for row in reversed(plugins.rows) for file in row.recipes}
    return [
        {"kind": RECIPE, "name": file, "plugin": owners[file], "summary": _first_comment(found[file])}
        for file in sorted(found, key=lambda file: (owners[file], file))
    ]


def _first_comment(file: Path) -> str:
    with open(file, encoding="utf-8", errors="replace") as lines:
        first = next(lines, "")
    return first.lstrip("# ").strip() if first.startswith("#") else ""


@subcommand
@click.argument("name")
@with_json
@with_plugins
def show(plugins: Plugins, name: str, as_json: bool) -> None:
    """Show the keys and tensors of a component.

    Prints the docstring of the component NAME, its keys in a recipe with types and defaults, the tensors that it reads,
    and the file and line of its code.

    \b
    i2i show stargan_v2/generator
    """
    entries = [e for e in plugins.registry if e.name == name]
    if not entries and name in plugins.recipes():
        raise UsageError(f"{name} is a recipe; print its plan with i2i explain {name}, or copy it with i2i init {name}")
    if not entries:
        hint = _hint(name, plugins)
        raise UsageError(f"there is no component called {name}" + (f" ({hint})" if hint else ""))
    if as_json:
        print_json([_facts(e) for e in entries])
    else:
        for e in entries:
            _show_component(_facts(e))
    for problem in (problem for e in entries for problem in _event_problems(e)):
        click.echo(f"warning: {problem}", err=True)


def _event_problems(entry: Entry) -> list[Problem]:
    """Return the mistakes in the methods of a hook, because of which they would never be called."""
    from i2i_core.registry.hook_methods import event_problems

    return event_problems(entry.load()) if entry.kind == "hook" and inspect.isclass(entry.load()) else []


def _hint(name: str, plugins: Plugins) -> str:
    from i2i_core.errors import did_you_mean

    names = [e.name for e in plugins.registry]
    hint = plugins.hint_for_plugin(name.partition("/")[0])
    return hint or did_you_mean(name, [known for known in names if known.endswith(f"/{name}")] or names)


def _facts(entry: Entry) -> dict[str, Any]:
    from .catalogue import describe

    target = entry.load()
    line = 1 if inspect.ismodule(target) else inspect.getsourcelines(target)[1]
    return {
        "kind": entry.kind,
        "name": entry.name,
        "plugin": entry.plugin,
        **describe(entry),
        "doc": inspect.cleandoc(target.__doc__ or ""),
        "file": inspect.getsourcefile(target),
        "line": line,
    }


def _show_component(facts: dict[str, Any]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    keys, tensors = new_table(), new_table()
    for key, value in facts.get("params", {}).items():
        keys.add_row(f"{key}:", value)
    for tensor, reads in facts.get("tensors", {}).items():
        tensors.add_row(tensor, ", ".join(reads))
    doc = re.sub(r"(?<=\S)\n(?=\S)", " ", facts["doc"])  # rewrap paragraphs
    parts: list[RenderableType] = [doc] if doc else []
    for heading, table in (("Keys", keys), ("Tensors, and what they are computed from", tensors)):
        if table.row_count:
            parts += ["", Text(heading, "bold"), Padding(table, (0, 0, 0, 2))]
    if facts.get("reads"):
        parts += ["", Text.assemble(("Reads  ", "bold"), ", ".join(facts["reads"]))]
    parts += ["", f"{facts['file']}:{facts['line']}"]
    print_tables(
        Text.assemble(f"{facts['kind']} ", (facts["name"], "bold")),
        *(Padding(part, (0, 0, 0, 2)) for part in parts),
        "",
    )


@subcommand
@with_json
@with_plugins
def plugins(plugins: Plugins, as_json: bool) -> None:
    """List plugins, and the errors of those that do not load.

    \b
    i2i plugins
    i2i plugins --registry team.yaml
    """
    if as_json:
        print_json([vars(row) for row in plugins.rows])
        return
    table = new_table("plugin", "version", "distribution", "components", "")
    table.columns[3].justify = "right"
    for row in plugins.rows:
        table.add_row(row.name, row.version, row.distribution, str(len(row.components)), row.error)
    print_tables(table)
