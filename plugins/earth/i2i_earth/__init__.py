"""Data set of registered world maps: tiles of satellite imagery, elevation and relief, with true pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.dataset("tiles", "i2i_earth.tiles:Tiles")
