"""MUNIT (Huang et al. 2018): unpaired translation between two domains, in both directions and many styles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i_core import hookimpl
from i2i_core.errors import Problem

if TYPE_CHECKING:
    from i2i_core.recipe.sections import Recipe
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.method("method", "i2i_munit.munit")
    registry.network("content_encoder", "i2i_munit.encoders:ContentEncoder")
    registry.network("style_encoder", "i2i_munit.encoders:StyleEncoder")
    registry.network("decoder", "i2i_munit.decoder:Decoder")
    registry.network("discriminator", "i2i_munit.discriminator:Discriminator")
    registry.schedule("halving", "i2i_munit.halving:Halving")


@hookimpl
def i2i_check(recipe: Recipe) -> list[Problem]:
    """Report recipes that do not name A and B: MUNIT translates between two domains."""
    targets = recipe.data.targets
    if recipe.method.use != "munit/method" or (isinstance(targets, dict) and [*map(len, targets.values())] == [1]):
        return []
    return [
        Problem(
            "munit/method translates between two domains A and B, but data.targets does not name the two",
            recipe.mark("data", "targets"),
            "write targets: {A: B} with the names of the domains; both directions are trained",
        )
    ]


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
