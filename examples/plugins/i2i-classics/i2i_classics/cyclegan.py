"""CycleGAN as named tensors (Zhu et al. 2017, section 3).

x_real is a picture x of X, x_ref one y of Y: `data.targets: {X: Y}` says which domains these are. G translates X to Y,
F translates Y to X; D_Y and D_X judge. Pictures are (N, 3, H, W) in [-1, 1].
"""

from __future__ import annotations

from torch import Tensor, nn


def x_fake(G: nn.Module, x_real: Tensor) -> Tensor:
    """G(x)."""
    x: Tensor = G(x_real)
    return x


def ref_fake(F: nn.Module, x_ref: Tensor) -> Tensor:
    """F(y)."""
    x: Tensor = F(x_ref)
    return x


# There and back again (equation 2).


def x_rec(F: nn.Module, x_fake: Tensor) -> Tensor:
    """F(G(x))."""
    x: Tensor = F(x_fake)
    return x


def ref_rec(G: nn.Module, ref_fake: Tensor) -> Tensor:
    """G(F(y))."""
    x: Tensor = G(ref_fake)
    return x


# What is of the target domain already should stay as it is (section 5.2).


def ref_same(G: nn.Module, x_ref: Tensor) -> Tensor:
    """G(y)."""
    x: Tensor = G(x_ref)
    return x


def x_same(F: nn.Module, x_real: Tensor) -> Tensor:
    """F(x)."""
    x: Tensor = F(x_real)
    return x


# What the discriminators say (equation 1).


def real_logits_y(D_Y: nn.Module, x_ref: Tensor) -> Tensor:
    """D_Y(y)."""
    logits: Tensor = D_Y(x_ref)
    return logits


def fake_logits_y(D_Y: nn.Module, x_fake: Tensor) -> Tensor:
    """D_Y(G(x))."""
    logits: Tensor = D_Y(x_fake)
    return logits


def real_logits_x(D_X: nn.Module, x_real: Tensor) -> Tensor:
    """D_X(x)."""
    logits: Tensor = D_X(x_real)
    return logits


def fake_logits_x(D_X: nn.Module, ref_fake: Tensor) -> Tensor:
    """D_X(F(y))."""
    logits: Tensor = D_X(ref_fake)
    return logits
