"""The subcommand `i2i new`."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i_core.errors import UsageError

from .common import subcommand, with_plugins

if TYPE_CHECKING:
    from i2i_core.registry.plugins import Plugins

TEMPLATE = Path(__file__).parent / "template"
"""A project i2i-plugin-name with a plugin plugin_name."""


@subcommand
@click.argument("name")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FOLDER", help="The folder to write. The default is i2i-NAME."
)
@with_plugins
def new(plugins: Plugins, name: str, to: Path | None) -> None:
    """Create a plugin project from a template.

    The project contains a loss, a network, a hook, a data set, a recipe that trains in seconds, and tests. Recipes
    refer to its components as NAME/... The subcommand never overwrites a file.

    \b
    i2i new my_blur
    i2i new my_blur --to projects/blur
    """
    from i2i_core.errors import DiskError

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise UsageError(
            f"{name!r} cannot be the name of a plugin; use lower-case letters and digits, with single underscores "
            f"between words, such as my_blur"
        )
    if name.partition("_")[0] == "gan":
        raise UsageError(
            "names that begin with gan are reserved for the distributions of i2i (i2i-gan...); choose another name"
        )
    if name in plugins.index or any(row.name == name for row in plugins.rows):
        raise UsageError(f"there is already a plugin {name}; choose another name")
    if importlib.util.find_spec(f"i2i_{name}"):
        raise UsageError(f"there is already a Python package i2i_{name}; choose another name")
    folder = to or Path(_named("i2i-plugin-name", name))
    try:
        folder.mkdir(parents=True)
        for source in sorted(TEMPLATE.rglob("*")):
            if source.is_file() and source.suffix != ".pyc":
                target = folder / _named(str(source.relative_to(TEMPLATE)), name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_named(source.read_text(encoding="utf-8"), name), encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{folder} exists; choose another folder with --to") from None
    except OSError as error:
        raise DiskError(f"{folder} cannot be written: {error.strerror}") from None
    click.echo(folder)
    steps = (f"cd {folder}", 'pip install -e ".[test]"', "pytest", f"i2i train --recipe {name}.yaml")
    click.echo("\n  ".join(["next:", *steps]), err=True)


def _named(text: str, name: str) -> str:
    """Replace the placeholder in a text of the template with the name of the plugin."""
    return text.replace("plugin_name", name).replace("plugin-name", name.replace("_", "-"))
