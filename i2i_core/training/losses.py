"""General losses: L1, R1 and the GAN objectives.

Each is a mean over the batch, so the mean of the gradients of equal parts is the gradient of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_core.interfaces import Schedule, number_at

Player = Literal["discriminator", "generator"]
Score = Callable[[Tensor], Tensor]
GANLoss = Callable[..., Tensor]


def l1(input: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of the same shape."""
    return F.l1_loss(input, target)


def r1(real_logits: Tensor, x_real_leaf: Tensor, step: int = 0, *, gamma: float | Schedule = 1.0) -> Tensor:
    """Gradient penalty on real pictures, γ/2 · E‖∇ₓ D(x)‖² (Mescheder et al. 2018, equation 9).

    real_logits: logits of D, (N,), computed from `x_real_leaf`.
    x_real_leaf: real pictures (N, C, H, W), a leaf tensor that requires a gradient.
    gamma: weight γ of the penalty, a number or a schedule of `step`.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), x_real_leaf, create_graph=True)
    return 0.5 * number_at(gamma, step) * gradient.square().sum() / gradient.shape[0]


def bce(*, player: Player) -> GANLoss:
    """Non-saturating GAN loss, binary cross entropy on logits (Goodfellow et al. 2014, section 3).

    player: "discriminator" for E softplus(−D(x)) + E softplus(D(G(x))), "generator" for E softplus(−D(G(x))).
    """
    return _gan("bce", player, real=lambda d: F.softplus(-d), fake=F.softplus, wish=lambda d: F.softplus(-d))


def hinge(*, player: Player) -> GANLoss:
    """Hinge GAN loss on logits (Lim and Ye 2017).

    player: "discriminator" for E max(0, 1 − D(x)) + E max(0, 1 + D(G(x))), "generator" for −E D(G(x)).
    """
    return _gan("hinge", player, real=lambda d: F.relu(1 - d), fake=lambda d: F.relu(1 + d), wish=lambda d: -d)


def lsgan(*, player: Player) -> GANLoss:
    """Least-squares GAN loss, with targets 1 for real and 0 for fake (Mao et al. 2017, equation 9 without its halves).

    player: "discriminator" for E (D(x) − 1)² + E D(G(x))², "generator" for E (D(G(x)) − 1)².
    """
    return _gan("lsgan", player, real=lambda d: (d - 1).square(), fake=torch.square, wish=lambda d: (d - 1).square())


def _gan(objective: str, player: Player, real: Score, fake: Score, wish: Score) -> GANLoss:
    """Return the loss of a player from functions of logits: D's `real` and `fake`, and G's `wish`."""

    def discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return real(real_logits).mean() + fake(fake_logits).mean()

    def generator(fake_logits: Tensor) -> Tensor:
        return wish(fake_logits).mean()

    loss: GANLoss = discriminator if player == "discriminator" else generator
    loss.__dict__["objective"] = objective  # both players must name the same one
    return loss
