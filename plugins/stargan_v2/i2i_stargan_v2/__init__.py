"""StarGAN v2: one generator for all domains, with styles from latents or reference pictures (Choi et al. 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    import click

    from i2i_core.errors import Problem
    from i2i_core.recipe.sections import Recipe
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.method("method", "i2i_stargan_v2.tensors")
    registry.network("generator", "i2i_stargan_v2.networks:Generator")
    registry.network("mapping_network", "i2i_stargan_v2.networks:MappingNetwork")
    registry.network("style_encoder", "i2i_stargan_v2.networks:StyleEncoder")
    registry.network("discriminator", "i2i_stargan_v2.networks:Discriminator")
    registry.loss("adversarial", "i2i_core.training.losses.gan:bce")
    registry.loss("r1", "i2i_core.training.losses.penalties:r1")
    registry.loss("style", "i2i_stargan_v2.losses:style")
    registry.loss("diversity", "i2i_stargan_v2.losses:diversity")
    registry.loss("cycle", "i2i_stargan_v2.losses:cycle")
    registry.hook("ema", "i2i_core.training.hooks.ema:EMA")


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"


@hookimpl
def i2i_check(recipe: Recipe) -> list[Problem]:
    from i2i_stargan_v2.check import problems

    return problems(recipe)


@hookimpl
def i2i_importers(group: click.Group) -> None:
    from i2i_stargan_v2.importing import command

    group.add_command(command)
