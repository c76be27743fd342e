"""Pictures of a visitor and their translations, independent of the page."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from i2i import Style, Translator
from i2i_core.errors import UsageError

SEEDS = 8
"""The number of styles from latents in a grid."""
MASK_COLOUR = np.array([255, 64, 0])
_one_at_a_time = threading.Lock()
"""Lock of the model, which all visitors share."""


@dataclass(frozen=True)
class Choice:
    """The source of a style: a latent drawn with `seed`, or an uploaded reference."""

    slot: int = 0
    """0 for the first style, 1 for the second style of a blend."""
    seed: int = 0
    reference: bool = False


class Visit:
    """A picture and its references at the size of the model; the uploaded files are not kept."""

    def __init__(self, model: Translator) -> None:
        self.model = model
        self.name = "picture"
        self.references: dict[int, Image.Image] = {}
        self.style = lru_cache(maxsize=64)(self._style)

    def bring(self, file: Path, name: str) -> bool:
        """Set the picture to translate; returns False if the model needs a face and finds none. Raises DataError."""
        sources = self.model.sources([file])
        with _one_at_a_time:
            self.name, self.sources = Path(name).stem, sources
            (self.source,) = sources.pictures()
            return not self.model.without_face(sources)

    def bring_reference(self, slot: int, file: Path) -> bool:
        """Set the reference of a style; returns False if the model needs a face and finds none. Raises DataError."""
        use = self.model.use_of("reference")
        assert use is not None
        reference = self.model.reference_sources(file, use.name)
        with _one_at_a_time:  # a running translation must not cache the style of the old reference
            (self.references[slot],) = reference.pictures()
            self.style.cache_clear()
            return not self.model.without_face(reference)

    @property
    def ready(self) -> bool:
        """True if there is a picture to translate."""
        return hasattr(self, "sources")

    def translation(self, domain: str, psi: float, choices: list[Choice], share: float = 0.0) -> Image.Image:
        """Translate the picture into a style, or into a blend with a share of a second style; raises UsageError."""
        with _one_at_a_time:
            first, *others = (self.style(domain, psi, choice) for choice in choices)
            style = first.towards(others[0], share) if others else first
            (made,) = self.sources.shown(style)
        return made

    def _style(self, domain: str, psi: float, choice: Choice) -> Style:
        if not choice.reference:
            return self.model.styles(domain, seeds=[choice.seed], psi=psi)[0]
        if choice.slot not in self.references:
            raise UsageError(f"Add a reference: a picture of the domain {domain}.")
        return self.model.styles(domain, references=[self.references[choice.slot]], psi=psi)[0]

    def masks(self) -> list[Image.Image]:
        """Draw the picture in grey with each mask of the model; returns no pictures for a model without masks."""
        if "masks" not in self.model.model.config.tensors:
            return []
        with _one_at_a_time:
            masks = self.sources.tensor("masks")
        return [self._under(mask) for mask in ([masks] if isinstance(masks, torch.Tensor) else masks)]

    def _under(self, mask: torch.Tensor) -> Image.Image:
        """Draw one mask, of shape (1, 1, any, any) and in [0, 1]."""
        size = self.model.image_size
        share = torch.nn.functional.interpolate(mask.float(), size=size, mode="bilinear", align_corners=False)
        ((left, top, right, bottom),) = self.sources.boxes
        shares = share[0, 0, top:bottom, left:right, None].cpu().numpy() * 0.6
        grey = np.asarray(self.source.convert("L"))[..., None]
        return Image.fromarray((grey * (1 - shares) + MASK_COLOUR * shares).round().astype(np.uint8))
