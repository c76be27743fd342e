"""Losses that belong to no method: L1, R1 and the GAN objectives.

Each is a mean over the batch, so that gradients of equal parts of a batch average to the whole batch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Player = Literal["discriminator", "generator"]
Score = Callable[[Tensor], Tensor]
GANLoss = Callable[..., Tensor]


def l1(input: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of `input` and `target`, of any equal shape."""
    return F.l1_loss(input, target)


def r1(real_logits: Tensor, x_real_leaf: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Gradient penalty on real pictures: γ/2 · E‖∇ₓ D(x)‖² (Mescheder et al. 2018, equation 9).

    gamma: γ, how flat D is to be at real pictures.
    real_logits (N,) must have been computed from x_real_leaf (N, C, H, W), a leaf that requires a gradient.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), x_real_leaf, create_graph=True)
    return 0.5 * gamma * gradient.square().sum() / gradient.shape[0]


def bce(*, player: Player) -> GANLoss:
    """Non-saturating binary cross entropy on logits (Goodfellow et al. 2014, section 3).

    player: whose loss it is: D's is softplus(−D(x)) + softplus(D(G(x))), G's is softplus(−D(G(x))).
    """
    return _gan("bce", player, real=lambda d: F.softplus(-d), fake=F.softplus, wish=lambda d: F.softplus(-d))


def hinge(*, player: Player) -> GANLoss:
    """Hinge objective (Lim and Ye 2017); the generator maximises the logits of its fakes.

    player: whose loss it is: D's is max(0, 1 − D(x)) + max(0, 1 + D(G(x))), G's is −D(G(x)).
    """
    return _gan("hinge", player, real=lambda d: F.relu(1 - d), fake=lambda d: F.relu(1 + d), wish=lambda d: -d)


def lsgan(*, player: Player) -> GANLoss:
    """Least squares with targets 1 for real and 0 for fake (Mao et al. 2017, equation 9 without the halves).

    player: whose loss it is: D's is (D(x) − 1)² + D(G(x))², G's is (D(G(x)) − 1)².
    """
    return _gan("lsgan", player, real=lambda d: (d - 1).square(), fake=torch.square, wish=lambda d: (d - 1).square())


def _gan(objective: str, player: Player, real: Score, fake: Score, wish: Score) -> GANLoss:
    """A player's loss from the scores of logits: D scores real and fake pictures, G wishes its fakes real."""

    def discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return real(real_logits).mean() + fake(fake_logits).mean()

    def generator(fake_logits: Tensor) -> Tensor:
        return wish(fake_logits).mean()

    loss: GANLoss = discriminator if player == "discriminator" else generator
    loss.__dict__["objective"] = objective  # both players must name the same one
    return loss
