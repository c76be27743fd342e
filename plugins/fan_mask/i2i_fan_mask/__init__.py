"""Masks of faces from facial landmarks, the high-pass skip of StarGAN v2, and face alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    import click

    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.tensor("heatmaps", "i2i_fan_mask.components:Heatmaps")
    registry.tensor("face68", "i2i_fan_mask.face68:Face68")
    registry.tensor("everywhere", "i2i_fan_mask.components:everywhere")
    registry.network("high_pass", "i2i_fan_mask.components:HighPass")


@hookimpl
def i2i_commands(group: click.Group) -> None:
    from i2i_fan_mask.commands import align, masks

    group.add_command(align)
    group.add_command(masks)


@hookimpl
def i2i_importers(group: click.Group) -> None:
    from i2i_fan_mask.importing import fan

    group.add_command(fan)
