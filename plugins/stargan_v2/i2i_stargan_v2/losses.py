"""The losses of StarGAN v2 that are its own (section 3.2); its adversarial loss and R1 are the core's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def style(s_pred: Tensor, s_trg: Tensor) -> Tensor:
    """Style reconstruction: E‖s − E_y(G(x, s))‖₁, as a mean over codes (equation 2).

    s_pred, s_trg: (N, style_dim); both get a gradient.
    """
    return F.l1_loss(s_pred, s_trg)


def diversity(x_fake: Tensor, x_fake2: Tensor) -> Tensor:
    """Distance of two styles' pictures: E‖G(x, s₁) − G(x, s₂)‖₁, as a mean over pixels (equation 3).

    It is to be maximised, so recipes give it a negative weight. x_fake2 gets no gradient.
    """
    return F.l1_loss(x_fake, x_fake2)


def cycle(x_rec: Tensor, x_real: Tensor) -> Tensor:
    """Cycle consistency: E‖x − G(G(x, s), ŝ)‖₁ with ŝ = E_y(x), as a mean over pixels (equation 4)."""
    return F.l1_loss(x_rec, x_real)
