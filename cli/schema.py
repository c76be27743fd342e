"""The subcommand `i2i schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, with_plugins

if TYPE_CHECKING:
    from i2i_core.registry.plugins import Plugins


@subcommand
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE", help="Write the schema to FILE instead of stdout."
)
@with_plugins
def schema(plugins: Plugins, to: Path | None) -> None:
    """Print a JSON schema of recipes for editors.

    With the schema, an editor completes and checks the names and keys of all installed components, their types and
    choices. Write it again after you install a plugin. Refer to it in the first line of a recipe:

    \b
    i2i schema --to recipe.schema.json
    # yaml-language-server: $schema=recipe.schema.json
    """
    from i2i_core.errors import DiskError

    from .recipe_schema import recipe_schema

    found, left_out = recipe_schema(plugins)
    for what in left_out:
        click.echo(f"warning: {what}", err=True)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    if to is None:
        click.echo(text)
    else:
        try:
            to.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise DiskError(f"{to} cannot be written: {error.strerror}") from None
