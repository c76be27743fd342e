"""Multispectral pix2pix: bands of a satellite from RGB pictures, and RGB pictures from bands (Isola et al. 2017)."""

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
    registry.method("method", "i2i_multispectral.method")
    registry.network("unet", "i2i_multispectral.unet:UNet")
    registry.network("patchgan", "i2i_multispectral.patchgan:PatchGAN")
    registry.dataset("land", "i2i_multispectral.land:Land")
    registry.hook("band_errors", "i2i_multispectral.band_errors:BandErrors")


@hookimpl
def i2i_check(recipe: Recipe) -> list[Problem]:
    """Report recipes that do not name the direction: source and target differ in their channels."""
    if recipe.method.use != "multispectral/method" or isinstance(recipe.data.targets, dict):
        return []
    return [
        Problem(
            "multispectral/method translates one domain into another, but data.targets does not name the two",
            recipe.mark("data", "targets"),
            "write targets: {X: Y} with the names of the domains",
        )
    ]


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
