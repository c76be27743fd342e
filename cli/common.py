"""Options that subcommands share, and functions that print their results."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Function = Callable[..., object]


def subcommand(function: Function) -> click.Command:
    """Make a command with the name of `function` and the option -v; the docstring of `function` is its help."""
    return with_verbose(click.command()(function))


def with_verbose(command: click.Command) -> click.Command:
    """Add the option -v to a command that does not have it."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if ctx.obj is not None:
            ctx.obj.verbose = ctx.obj.verbose or value

    if not any("-v" in parameter.opts for parameter in command.params):
        command.params.append(
            click.Option(
                ["-v", "--verbose"],
                is_flag=True,
                expose_value=False,
                callback=remember,
                help="Show the traceback if an error occurs.",
            )
        )
    return command


def with_plugins(function: Function) -> Function:
    """Add the options --registry and --plugin, and pass the plugins as `plugins`."""

    @click.option(
        "--registry",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Use only the plugins that this registry file lists [env: I2I_REGISTRY].",
    )
    @click.option(
        "--plugin",
        "plugin_files",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE.py",
        help="Also load this one-file plugin. Repeatable.",
    )
    @functools.wraps(function)
    def wrapped(*, registry: Path | None, plugin_files: tuple[Path, ...], **rest: object) -> object:
        from i2i_core.registry.plugins import discover

        return function(plugins=discover(registry, plugin_files), **rest)

    return wrapped


def added_by_plugins(ctx: click.Context, hook: str, what: str) -> dict[str, click.Command]:
    """Return the commands that plugins add in this hook, and call the hook once; `what` names them in messages."""
    if hook not in ctx.meta:
        ctx.meta[hook] = _ask_plugins(hook, what)
    found: dict[str, click.Command] = ctx.meta[hook]
    return found


def install_hint(kind: str, name: str) -> str:
    """Return the pip command for the known plugin that adds a subcommand or a format of this name, or ""."""
    from i2i_core.registry.plugins import BUNDLED, load_registry_file

    rows = load_registry_file(BUNDLED)["plugins"].values()
    return next((f"pip install {row['distribution']}" for row in rows if name in row.get(kind, ())), "")


def _ask_plugins(hook: str, what: str) -> dict[str, click.Command]:
    from i2i_core.errors import I2IError
    from i2i_core.registry.plugins import discover

    group = click.Group()
    try:
        implementations = getattr(discover().manager.hook, hook).get_hookimpls()
    except I2IError as error:  # show the help even if the registry file cannot be read
        click.echo(f"plugins cannot be listed: {error}", err=True)
        return {}
    for implementation in implementations:
        try:
            implementation.function(group)
        except BaseException as error:  # a plugin may raise anything, and the other plugins still work
            if type(error) is KeyboardInterrupt:
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            click.echo(f"plugin {implementation.plugin_name} cannot add its {what}: {reason}", err=True)
    return {name: with_verbose(command) for name, command in group.commands.items()}


with_sets = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="A.B=VALUE",
    help="Override a value of the recipe, such as --set steps=100. Repeatable.",
)
with_overwrite = click.option("--overwrite", is_flag=True, help="Replace existing output.")
with_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def new_table(*headings: str) -> Table:
    """Make an empty table without rules, in which only the last column wraps."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=bool(headings), header_style="dim")
    for i, heading in enumerate(headings):
        table.add_column(heading, no_wrap=i + 1 < len(headings), overflow="fold")
    return table


def print_tables(*renderables: RenderableType) -> None:
    """Print to stdout with rich; if stdout is no terminal, do not wrap lines, so that grep finds them whole."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 1000
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
