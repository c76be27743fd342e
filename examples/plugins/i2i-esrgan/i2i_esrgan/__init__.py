"""ESRGAN: super-resolution with a relativistic GAN (Wang et al. 2018)."""

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
    registry.method("method", "i2i_esrgan.method")
    registry.network("rrdb", "i2i_esrgan.generator:RRDBNet")
    registry.network("vgg_discriminator", "i2i_esrgan.discriminator:VGGDiscriminator")
    registry.network("vgg19", "i2i_esrgan.features:VGG19")
    registry.schedule("piecewise", "i2i_esrgan.piecewise:Piecewise")
    registry.dataset("reduced", "i2i_esrgan.reduced:Reduced")
    registry.hook("psnr", "i2i_esrgan.psnr:PSNR")


@hookimpl
def i2i_check(recipe: Recipe) -> list[Problem]:
    """Report recipes that do not name the direction: small pictures become large ones."""
    if recipe.method.use != "esrgan/method" or isinstance(recipe.data.targets, dict):
        return []
    return [
        Problem(
            "esrgan/method enlarges the pictures of one domain, but data.targets does not name the two domains",
            recipe.mark("data", "targets"),
            "write targets: {small: large} with the names of the domains",
        )
    ]


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
