"""Data set of emoji at 64 px: 1,562 motifs in colour, as line art, and by a second artist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.dataset("drawings", "i2i_emoji.drawings:Drawings")
    registry.tensor("ink", "i2i_emoji.masks:ink")
