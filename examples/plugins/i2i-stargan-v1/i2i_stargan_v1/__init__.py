"""StarGAN (Choi et al. 2018): one generator changes several attributes of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i_core import hookimpl

if TYPE_CHECKING:
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.method("method", "i2i_stargan_v1.stargan")
    registry.network("generator", "i2i_stargan_v1.generator:Generator")
    registry.network("discriminator", "i2i_stargan_v1.discriminator:Discriminator")
    registry.loss("attributes", "i2i_stargan_v1.losses:attributes")
    registry.dataset("faces", "i2i_stargan_v1.faces:Faces")
    registry.hook("edited_faces", "i2i_stargan_v1.edited_faces:EditedFaces")


@hookimpl
def i2i_recipes() -> Path:
    return Path(__file__).parent / "recipes"
