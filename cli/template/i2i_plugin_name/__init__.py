"""Names and import paths of the plugin's components. Every `i2i` command imports this module, so keep it light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    """Register the components as plugin_name/NAME; i2i imports a component's module when a recipe uses it."""
    registry.method("method", "i2i_plugin_name.tensors")
    registry.dataset("discs", "i2i_plugin_name.data:Discs")
    registry.network("generator", "i2i_plugin_name.networks:Generator")
    registry.loss("charbonnier", "i2i_plugin_name.losses:charbonnier")
    registry.hook("smooth", "i2i_plugin_name.hooks:Smooth")


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
