"""The reconstruction loss of image completion."""

from __future__ import annotations

from torch import Tensor


def hole_mse(x_fake: Tensor, x_real: Tensor, hole_real: Tensor) -> Tensor:
    """Mean squared error in the hole, ‖M_c ⊙ (C(x, M_c) − x)‖² (Iizuka et al. 2017, equation 2).

    x_fake, x_real: the completed and the true picture, (N, C, H, W).
    hole_real: the mask M_c, (N, 1, H, W), 1 in the hole.

    The paper's norm is a sum. This is a mean over the pixels and channels of the hole, then over pictures, so it does
    not depend on the size of the hole. A picture without a hole counts as 0.
    """
    squares = ((x_fake - x_real) * hole_real).square().sum((1, 2, 3))
    pixels = hole_real.sum((1, 2, 3)).clamp(min=1)
    return (squares / pixels).mean() / x_real.shape[1]
