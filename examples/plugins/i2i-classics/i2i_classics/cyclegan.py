"""CycleGAN as named tensors (Zhu et al. 2017, section 3).

x_real is a picture x of domain X, x_ref a picture y of domain Y. The recipe names the domains: `data.targets: {X: Y}`.
The generators are G: X → Y and F: Y → X, with the discriminators D_Y and D_X. Pictures have the shape (N, 3, H, W) and
values in [-1, 1].
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


# Cycle consistency (equation 2).


def x_rec(F: nn.Module, x_fake: Tensor) -> Tensor:
    """F(G(x))."""
    x: Tensor = F(x_fake)
    return x


def ref_rec(G: nn.Module, ref_fake: Tensor) -> Tensor:
    """G(F(y))."""
    x: Tensor = G(ref_fake)
    return x


# Identity loss: pictures of the target domain should not change (section 5.2).


def ref_same(G: nn.Module, x_ref: Tensor) -> Tensor:
    """G(y)."""
    x: Tensor = G(x_ref)
    return x


def x_same(F: nn.Module, x_real: Tensor) -> Tensor:
    """F(x)."""
    x: Tensor = F(x_real)
    return x


# Logits of the discriminators (equation 1).


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
