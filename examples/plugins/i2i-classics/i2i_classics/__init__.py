"""Four classic methods of translation between two domains: CycleGAN, pix2pix, CUT and FastCUT."""

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
    registry.method("cyclegan", "i2i_classics.cyclegan")
    registry.method("pix2pix", "i2i_classics.pix2pix")
    registry.method("cut", "i2i_classics.cut")
    registry.network("resnet", "i2i_classics.resnet:ResnetGenerator")
    registry.network("unet", "i2i_classics.unet:UNet")
    registry.network("patchgan", "i2i_classics.patchgan:PatchGAN")
    registry.network("domain_patchgan", "i2i_classics.patchgan:DomainPatchGAN")
    registry.network("projector", "i2i_classics.patch_nce:Projector")
    registry.loss("patch_nce", "i2i_classics.patch_nce:PatchNCE")
    registry.tensor("features", "i2i_classics.patch_nce:Features")
    registry.tensor("image_pool", "i2i_classics.image_pool:ImagePool")
    registry.dataset("side_by_side", "i2i_classics.side_by_side:SideBySide")


@hookimpl
def i2i_check(recipe: Recipe) -> list[Problem]:
    """Report recipes that do not name X and Y: the methods translate domain X into domain Y."""
    method = recipe.method.use
    if method not in ("classics/cyclegan", "classics/pix2pix", "classics/cut") or isinstance(recipe.data.targets, dict):
        return []
    return [
        Problem(
            f"{method} translates one domain into another, but data.targets does not name the two",
            recipe.mark("data", "targets"),
            "write targets: {X: Y} with the names of the domains",
        )
    ]


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
