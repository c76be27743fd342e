"""SPADE: photos from label maps, in a style from a latent or a reference (Park et al. 2019)."""

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
    registry.method("method", "i2i_spade.method")
    registry.network("generator", "i2i_spade.generator:Generator")
    registry.network("discriminator", "i2i_spade.discriminator:Discriminator")
    registry.network("encoder", "i2i_spade.encoder:Encoder")
    registry.tensor("edges", "i2i_spade.edges:edges")
    registry.loss("kld", "i2i_spade.kld:kld")
    registry.dataset("scenes", "i2i_spade.scenes:Scenes")


@hookimpl
def i2i_check(recipe: Recipe) -> list[Problem]:
    """Report recipes that do not name the direction: the method makes photos of label maps."""
    if recipe.method.use != "spade/method" or isinstance(recipe.data.targets, dict):
        return []
    return [
        Problem(
            "spade/method makes photos of label maps, but data.targets does not name the two domains",
            recipe.mark("data", "targets"),
            "write targets: {LABELS: PHOTO} with the names of the domains",
        )
    ]


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
