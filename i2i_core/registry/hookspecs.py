"""Hook specifications of plugins.

Plugins declare names only: neither this module nor the first module of a plugin imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from i2i_core.errors import Problem
    from i2i_core.recipe.sections import Recipe
    from i2i_core.registry.entries import Registrar

hookspec = pluggy.HookspecMarker("i2i")
hookimpl = pluggy.HookimplMarker("i2i")


@hookspec
def i2i_components(registry: Registrar) -> None:
    """Register components by kind, name and import path.

    For example `registry.loss("style", "my_package.losses:style")`. `registry` has a method for each kind.
    """


@hookspec
def i2i_recipes() -> Path:  # type: ignore[empty-body]
    """Return the folder of the bundled recipes. `--recipe NAME.yaml` finds the files NAME.yaml in it."""


@hookspec
def i2i_commands(group: click.Group) -> None:
    """Add subcommands to the `i2i` command. `group` is its click group."""


@hookspec
def i2i_importers(group: click.Group) -> None:
    """Add formats to `i2i import`. Each is a subcommand of the click group `group` and converts a file to a model."""


@hookspec
def i2i_check(recipe: Recipe) -> list[Problem]:  # type: ignore[empty-body]
    """Return the problems that the plugin finds in a recipe; `i2i validate` and `i2i train` report them."""
