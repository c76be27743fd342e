"""What a plugin may implement. Plugins declare names; nothing here, or in a plugin's first module, imports torch."""

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
    """Register components by kind, name and import path: `registry.loss("style", "my_package.losses:style")`."""


@hookspec
def i2i_recipes() -> Path:  # type: ignore[empty-body]
    """Return the folder of the plugin's bundled recipes; `--recipe NAME.yaml` finds them there."""


@hookspec
def i2i_commands(group: click.Group) -> None:
    """Add subcommands to the `i2i` command; `group` is its click group."""


@hookspec
def i2i_importers(group: click.Group) -> None:
    """Add formats to `i2i import`; `group` is its click group, and each subcommand converts a file to a model."""


@hookspec
def i2i_check(recipe: Recipe) -> list[Problem]:  # type: ignore[empty-body]
    """Return problems that the plugin finds in a recipe."""
