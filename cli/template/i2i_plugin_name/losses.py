"""A loss is a function: its arguments are the tensors it wants, its keyword-only parameters are keys of the recipe."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor


def charbonnier(x_fake: Tensor, x_pair: Tensor, *, epsilon: PositiveFloat = 0.01) -> Tensor:
    """Charbonnier distance, an L1 that is smooth around zero: E √((x_fake − x_pair)² + ε²).

    epsilon: ε, in units of pixel values, which lie in [-1, 1]; much larger differences count as in L1.
    """
    return ((x_fake - x_pair).square() + epsilon**2).sqrt().mean()
