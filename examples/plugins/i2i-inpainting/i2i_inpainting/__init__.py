"""Inpainting: globally and locally consistent image completion (Iizuka et al. 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.method("method", "i2i_inpainting.completion")
    registry.network("completion", "i2i_inpainting.networks:CompletionNetwork")
    registry.network("discriminator", "i2i_inpainting.networks:ContextDiscriminator")
    registry.loss("hole_mse", "i2i_inpainting.losses:hole_mse")
    registry.dataset("holes", "i2i_inpainting.holes:Holes")
    registry.optimizer("adadelta", "i2i_inpainting.optimizers:adadelta")
    registry.hook("hole_error", "i2i_inpainting.hole_error:HoleError")


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
