"""A style, into which pictures are translated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Style:
    """A style of a domain."""

    use: str
    """The name of the model's use that the style is for."""
    domain: int
    """The class index y."""
    codes: Mapping[str, Tensor]
    """The style codes that the translation reads, each (1, ...)."""
    seed: int = 0
    """The seed of other random numbers that the translation draws."""

    def __repr__(self) -> str:
        codes = ", ".join(f"{name} {tuple(code.shape[1:])}" for name, code in self.codes.items())
        return f"Style(domain={self.domain}, seed={self.seed}, codes: {codes or 'none'})"

    def towards(self, other: Style, share: float) -> Style:
        """Interpolate linearly from this style (`share` 0) to `other` (1); other values extrapolate."""
        codes = {name: torch.lerp(code, other.codes[name], share) for name, code in self.codes.items()}
        return Style(self.use, self.domain if share < 0.5 else other.domain, codes, self.seed)
