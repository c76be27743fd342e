"""What i2i reads to learn the plugin's names. Imported by every call of `i2i`, so it imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    """Recipes say plugin_name/generator; what stands after the colon is imported when one does."""
    registry.method("method", "i2i_plugin_name.tensors")
    registry.dataset("discs", "i2i_plugin_name.data:Discs")
    registry.network("generator", "i2i_plugin_name.networks:Generator")
    registry.loss("charbonnier", "i2i_plugin_name.losses:charbonnier")
    registry.hook("smooth", "i2i_plugin_name.hooks:Smooth")


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
