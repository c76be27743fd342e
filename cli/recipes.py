"""The subcommand `i2i init`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i_core.errors import UsageError

from .common import subcommand, with_plugins

if TYPE_CHECKING:
    from i2i_core.registry.plugins import Plugins


@subcommand
@click.argument("name")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="The file to write. The default is NAME.")
@with_plugins
def init(plugins: Plugins, name: str, to: Path | None) -> None:
    """Copy the bundled recipe NAME to edit it.

    The subcommand never overwrites a file.

    \b
    i2i init stargan_v2.yaml --to mine.yaml
    """
    from i2i_core.errors import DiskError, did_you_mean

    bundled, file = plugins.recipes(), name if name.endswith(".yaml") else f"{name}.yaml"
    source = bundled.get(file)
    if source is None:
        hint = plugins.hint_for_recipe(file) or did_you_mean(name, bundled)
        raise UsageError(f"no installed plugin provides a recipe {name}" + (f" ({hint})" if hint else ""))
    copy = to or Path(source.name)
    try:
        with open(copy, "xb") as target, open(source, "rb") as original:
            shutil.copyfileobj(original, target)
    except FileExistsError:
        raise UsageError(f"{copy} exists; choose another name with --to") from None
    except OSError as error:
        raise DiskError(f"{copy} cannot be written: {error.strerror}") from None
    click.echo(copy)
    click.echo(f"edit it, then: i2i validate {copy} && i2i train --recipe {copy}", err=True)
