"""Keep a discriminator from overfitting or exploding: spectral norm, DiffAugment and ADA, around any network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.network("spectral_norm", "i2i_regularize.spectral:spectral_norm")
    registry.network("diffaugment", "i2i_regularize.diffaugment:DiffAugment")
    registry.network("ada", "i2i_regularize.ada:ADA")
    registry.loss("overfitting", "i2i_regularize.controller:overfitting")
    registry.hook("ada", "i2i_regularize.controller:Controller")
