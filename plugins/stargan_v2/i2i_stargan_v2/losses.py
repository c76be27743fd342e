"""Training objectives of StarGAN v2 (section 3.2): style reconstruction, style diversification, cycle consistency.

The adversarial loss (equation 1) and R1 regularisation are `bce` and `r1` of i2i's core. Pictures have the shape
(N, 3, H, W) and values in [-1, 1]. Each loss is a scalar tensor.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def style(s_pred: Tensor, s_trg: Tensor) -> Tensor:
    """Style reconstruction loss: E‖s − E_y(G(x, s))‖₁ (equation 2), averaged over all elements of the style codes.

    s_pred: E_y(G(x, s)), the style code of the translation, (N, style_dim).
    s_trg: s, the target style code, (N, style_dim).

    Gradients pass through both.
    """
    return F.l1_loss(s_pred, s_trg)


def diversity(x_fake: Tensor, x_fake2: Tensor) -> Tensor:
    """Style diversification loss: E‖G(x, s₁) − G(x, s₂)‖₁ (equation 3), averaged over all pixels and channels.

    x_fake, x_fake2: G(x, s₁) and G(x, s₂), translations of one picture with two styles of the same domain.

    The loss is maximised, so its weight in a recipe is negative. In this method x_fake2 has no gradient.
    """
    return F.l1_loss(x_fake, x_fake2)


def cycle(x_rec: Tensor, x_real: Tensor) -> Tensor:
    """Cycle consistency loss: E‖x − G(G(x, s), ŝ)‖₁ with ŝ = E_y(x) (equation 4), averaged over pixels and channels.

    x_rec: G(G(x, s), ŝ), the translation translated back; x_real: x, the source picture.
    """
    return F.l1_loss(x_rec, x_real)
