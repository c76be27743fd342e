"""Loss: a function of named tensors. Its keyword-only parameters are keys of the recipe."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor


def charbonnier(x_fake: Tensor, x_pair: Tensor, *, epsilon: PositiveFloat = 0.01) -> Tensor:
    """Charbonnier loss, a smooth L1 loss: E √((x_fake − x_pair)² + ε²).

    x_fake, x_pair: translations and true translations, (N, 3, H, W) in [-1, 1].
    epsilon: ε, in units of pixel values. The loss is close to L1 for differences much larger than ε.
    """
    return ((x_fake - x_pair).square() + epsilon**2).sqrt().mean()
