"""Masks of faces from FAN's landmarks, and the high-pass skip that keeps what they cover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.tensor("heatmaps", "i2i_fan_mask.components:Heatmaps")
    registry.tensor("everywhere", "i2i_fan_mask.components:everywhere")
    registry.network("high_pass", "i2i_fan_mask.components:HighPass")


@hookimpl
def i2i_importers(group: Any) -> None:
    from i2i_fan_mask.importing import fan

    group.add_command(fan)
