"""GAN objectives, as losses of a discriminator D and a generator G on logits.

Logits are a tensor (N, ...), or nested lists of tensors from several discriminators. An expectation E is a mean over
all logits of a tensor, and the loss of nested lists is the mean of the losses of their tensors: each discriminator has
the same weight. Equal parts of a batch average to the whole, except for averages in `gan/relativistic`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_core.training.losses.nested import Nested, leaves, mean, paired, paired_by_sample

Player = Literal["discriminator", "generator"]
Score = Callable[[Tensor], Tensor]
GANLoss = Callable[..., Tensor]


def bce(*, player: Player) -> GANLoss:
    """Non-saturating GAN loss, binary cross entropy on logits (Goodfellow et al. 2014, section 3).

    player: "discriminator" for E softplus(−D(x)) + E softplus(D(G(x))), "generator" for E softplus(−D(G(x))).

    The loss of nested logits is the mean over their tensors.
    """
    return _gan("bce", player, real=lambda d: F.softplus(-d), fake=F.softplus, wish=lambda d: F.softplus(-d))


def hinge(*, player: Player) -> GANLoss:
    """Hinge GAN loss on logits (Lim and Ye 2017).

    player: "discriminator" for E max(0, 1 − D(x)) + E max(0, 1 + D(G(x))), "generator" for −E D(G(x)).

    The loss of nested logits is the mean over their tensors.
    """
    return _gan("hinge", player, real=lambda d: F.relu(1 - d), fake=lambda d: F.relu(1 + d), wish=torch.neg)


def lsgan(*, player: Player) -> GANLoss:
    """Least-squares GAN loss, with targets 1 for real and 0 for fake (Mao et al. 2017, equation 9 without its halves).

    player: "discriminator" for E (D(x) − 1)² + E D(G(x))², "generator" for E (D(G(x)) − 1)².

    The loss of nested logits is the mean over their tensors.
    """
    return _gan("lsgan", player, real=lambda d: (d - 1).square(), fake=torch.square, wish=lambda d: (d - 1).square())


def wasserstein(*, player: Player) -> GANLoss:
    """Wasserstein GAN loss of a critic D (Arjovsky et al. 2017, section 3).

    player: "discriminator" for E D(G(x)) − E D(x), "generator" for −E D(G(x)).

    D should be 1-Lipschitz: add the loss `gradient_penalty` to the discriminator's. The loss of nested logits is the
    mean over their tensors.
    """
    return _gan("wasserstein", player, real=torch.neg, fake=lambda d: d, wish=torch.neg)


def relativistic(*, player: Player, average: bool = False) -> GANLoss:
    """Relativistic GAN loss: real logits against fake ones, on logits (Jolicoeur-Martineau 2018).

    player: "discriminator" for E softplus(D(G(x̃)) − D(x)), "generator" for E softplus(D(x) − D(G(x̃))). The n-th real
        logit is paired with the n-th fake one, as in R3GAN (Huang et al. 2024).
    average: compare with the mean logit of the other side instead (RaGAN; ESRGAN uses it). With
        Δ = D(x) − E D(G(x̃)) and Δ̃ = D(G(x̃)) − E D(x), the discriminator minimises E softplus(−Δ) + E softplus(Δ̃) and
        the generator E softplus(Δ) + E softplus(−Δ̃). The mean logit is that of a process's part of the batch, so
        results depend on the number of processes and on gradient accumulation.

    Both players read real_logits; the generator's loss has no gradient to them. The loss of nested logits is the mean
    over their tensors. Raises ValueError for logits of different shapes, unless `average` is true.
    """
    beats = _beats_on_average if average else _beats
    pairs = paired if average else paired_by_sample

    def discriminator(real_logits: Nested, fake_logits: Nested) -> Tensor:
        return mean(beats(real, fake) for real, fake in pairs(real_logits, fake_logits))

    def generator(real_logits: Nested, fake_logits: Nested) -> Tensor:
        return mean(beats(fake, real.detach()) for real, fake in pairs(real_logits, fake_logits))

    return _of(player, discriminator, generator, "relativistic average" if average else "relativistic")


def _beats(a: Tensor, b: Tensor) -> Tensor:
    """Return the cross entropy of "a is more real than b", sample by sample."""
    return F.softplus(b - a).mean()


def _beats_on_average(a: Tensor, b: Tensor) -> Tensor:
    """Return the cross entropy of "a is more real than b on average, and b less real than a on average"."""
    return F.softplus(b.mean() - a).mean() + F.softplus(b - a.mean()).mean()


def _gan(objective: str, player: Player, real: Score, fake: Score, wish: Score) -> GANLoss:
    """Return the loss of a player from functions of logits: D's `real` and `fake`, and G's `wish`."""

    def discriminator(real_logits: Nested, fake_logits: Nested) -> Tensor:
        return mean(real(d).mean() + fake(d_fake).mean() for d, d_fake in paired(real_logits, fake_logits))

    def generator(fake_logits: Nested) -> Tensor:
        return mean(wish(d).mean() for d in leaves(fake_logits, "fake_logits"))

    return _of(player, discriminator, generator, objective)


def _of(player: Player, discriminator: GANLoss, generator: GANLoss, objective: str) -> GANLoss:
    loss = discriminator if player == "discriminator" else generator
    loss.__dict__["objective"] = objective  # both players must name the same one
    return loss
