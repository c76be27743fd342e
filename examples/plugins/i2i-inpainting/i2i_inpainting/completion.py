"""Image completion as named tensors (Iizuka et al. 2017, section 4).

x_real is the picture x, (N, 3, H, W) in [-1, 1], and hole_real its mask M_c, (N, 1, H, W), 1 in the hole.
"""

from __future__ import annotations

from torch import Tensor, nn


def x_hole(x_real: Tensor, hole_real: Tensor) -> Tensor:
    """The picture with its hole filled with grey, which is 0."""
    return x_real * (1 - hole_real)


def completed(generator: nn.Module, x_hole: Tensor, hole_real: Tensor) -> Tensor:
    """C(x, M_c), a whole picture."""
    x: Tensor = generator(x_hole, hole_real)
    return x


def x_fake(completed: Tensor, x_hole: Tensor, hole_real: Tensor) -> Tensor:
    """The picture x outside the hole, and C(x, M_c) inside it."""
    return x_hole + completed * hole_real


def real_logits(discriminator: nn.Module, x_real: Tensor, hole_ref: Tensor) -> Tensor:
    """D(x, M_d): the local discriminator sees the whole picture at another random hole M_d (equation 3)."""
    logits: Tensor = discriminator(x_real, hole_ref)
    return logits


def fake_logits(discriminator: nn.Module, x_fake: Tensor, hole_real: Tensor) -> Tensor:
    """D(C(x, M_c), M_c)."""
    logits: Tensor = discriminator(x_fake, hole_real)
    return logits
