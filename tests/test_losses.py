"""The core's losses against their formulas, and as means over the batch."""

from __future__ import annotations

import math

import pytest
import torch

from i2i_core.registry.signatures import call_arguments
from i2i_core.training.losses import gan, matching, penalties

GAMES = {"bce": gan.bce, "hinge": gan.hinge, "lsgan": gan.lsgan}


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def log1pexp(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("game", "real", "fake", "wish"),
    [
        ("bce", lambda d: log1pexp(-d), log1pexp, lambda d: log1pexp(-d)),
        ("hinge", lambda d: max(0.0, 1 - d), lambda d: max(0.0, 1 + d), lambda d: -d),
        ("lsgan", lambda d: (d - 1) ** 2, lambda d: d**2, lambda d: (d - 1) ** 2),
    ],
)
def test_gan_losses_are_their_formulas(game, real, fake, wish):
    reals, fakes = (-2.0, 0.3, 1.7), (-1.5, 0.0, 4.0)
    d, g = (GAMES[game](player=player) for player in ("discriminator", "generator"))
    expected = sum(map(real, reals)) / 3 + sum(map(fake, fakes)) / 3
    assert float(d(logits(*reals), logits(*fakes))) == pytest.approx(expected, rel=1e-12)
    assert float(g(logits(*fakes))) == pytest.approx(sum(map(wish, fakes)) / 3, rel=1e-12)


@pytest.mark.parametrize("game", GAMES)
def test_players_want_what_they_need_and_name_their_game(game):
    d, g = (GAMES[game](player=player) for player in ("discriminator", "generator"))
    assert call_arguments(d)[0] == ("real_logits", "fake_logits")
    assert call_arguments(g)[0] == ("fake_logits",)
    assert d.objective == g.objective == game


@pytest.mark.parametrize("game", GAMES)
def test_players_pull_logits_apart_and_together(game):
    real, fake = logits(0.1).requires_grad_(), logits(0.2).requires_grad_()
    GAMES[game](player="discriminator")(real, fake).backward()
    assert float(real.grad) < 0 < float(fake.grad)
    fake.grad = None
    GAMES[game](player="generator")(fake).backward()
    assert float(fake.grad) < 0


def test_bce_is_finite_for_large_logits():
    big = logits(1e4, -1e4)
    assert float(gan.bce(player="discriminator")(big, big)) == pytest.approx(1e4)
    assert float(gan.bce(player="generator")(big)) == pytest.approx(5e3)


def test_r1_is_half_gamma_times_the_squared_norm_of_the_gradient_per_picture():
    weight = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    scale = torch.arange(1.0, 6, dtype=torch.float64)
    score = scale * (weight * x).sum((1, 2, 3))
    expected = 0.5 * 3 * float((scale**2).mean() * weight.square().sum())
    assert float(penalties.r1(score, x, gamma=3)) == pytest.approx(expected, rel=1e-12)


def test_r1_is_differentiable_with_respect_to_the_discriminator():
    weight = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    x = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    penalties.r1(x @ weight, x).backward(inputs=[weight])
    assert weight.grad.tolist() == [2.0, -1.0]  # the gradient of γ/2 · |w|² is w
    assert x.grad is None


def test_l1_is_the_mean_absolute_difference():
    assert float(matching.l1(logits(1, 2, 6), logits(1, 4, 2))) == 2.0


@pytest.mark.parametrize(
    "loss",
    [lambda a, b: gan.bce(player="discriminator")(a, b), lambda a, b: gan.hinge(player="generator")(b), matching.l1],
)
def test_equal_parts_of_a_batch_average_to_the_whole(loss):
    a, b = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parts = torch.stack([loss(a[i : i + 2], b[i : i + 2]) for i in range(0, 8, 2)])
    assert float(parts.mean()) == pytest.approx(float(loss(a, b)), rel=1e-12)
