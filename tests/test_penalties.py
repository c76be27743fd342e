"""Gradient penalties in float64, for discriminators whose gradient is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from i2i_core.training.losses.penalties import gradient_penalty, interpolate, leaf, r1, r2

CLOSE = {"rel": 1e-9, "abs": 1e-9}
W, V = [0.6, -1.2, 0.3], [0.5, 0.0, -2.0]
X = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]]
GAMMA = 3.0


def float64(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def pictures() -> Tensor:
    """Two of three numbers, as pictures (2, 3, 1, 1)."""
    return leaf(float64(X)[..., None, None])


def score(x: Tensor, w: Tensor) -> Tensor:
    """D(x) = (w·x)² / 2, whose gradient is (w·x) w."""
    return (x.flatten(1) @ w).square() / 2


def dot(a: list[float], b: list[float]) -> float:
    return sum(p * q for p, q in zip(a, b, strict=True))


def zero_centred(gradients: list[list[float]]) -> float:
    return GAMMA / 2 * sum(dot(g, g) for g in gradients) / len(gradients)


def one_centred(gradients: list[list[float]]) -> float:
    return sum((math.sqrt(dot(g, g)) - 1) ** 2 for g in gradients) / len(gradients)


PENALTIES: dict[str, tuple[Callable[[object, Tensor], Tensor], Callable[[list[list[float]]], float]]] = {
    "r1": (lambda d, x: r1(d, x, gamma=GAMMA), zero_centred),
    "r2": (lambda d, x: r2(d, x, gamma=GAMMA), zero_centred),
    "gradient_penalty": (gradient_penalty, one_centred),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_are_their_formulas(name: str) -> None:
    penalty, by_hand = PENALTIES[name]
    x = pictures()
    gradients = [[dot(W, row) * w for w in W] for row in X]
    assert float(penalty(score(x, float64(W)), x).detach()) == pytest.approx(by_hand(gradients), **CLOSE)


@pytest.mark.parametrize("name", PENALTIES)
def test_their_gradients_by_the_weights_are_those_of_the_formulas(name: str) -> None:
    """By central differences of the formula."""
    penalty, by_hand = PENALTIES[name]
    x, w = pictures(), float64(W).requires_grad_()
    penalty(score(x, w), x).backward(inputs=[w])

    def formula(weights: list[float]) -> float:
        return by_hand([[dot(weights, row) * v for v in weights] for row in X])

    for n in range(3):
        up, down = ([v + step * (i == n) for i, v in enumerate(W)] for step in (1e-6, -1e-6))
        assert float(w.grad[n]) == pytest.approx((formula(up) - formula(down)) / 2e-6, rel=1e-7)


def test_gradients_of_r1_by_the_weights_in_closed_form() -> None:
    """Of γ/2 · mean (w·x)² |w|²: γ · mean ((w·x) |w|² x + (w·x)² w), to 1e-9."""
    x, w = pictures(), float64(W).requires_grad_()
    r1(score(x, w), x, gamma=GAMMA).backward(inputs=[w])
    for n in range(3):
        terms = [dot(W, row) * dot(W, W) * row[n] + dot(W, row) ** 2 * W[n] for row in X]
        assert float(w.grad[n]) == pytest.approx(GAMMA * sum(terms) / 2, **CLOSE)


def test_gradients_of_the_gradient_penalty_by_the_weights_in_closed_form() -> None:
    """Of mean (|w·x| |w| − 1)²: mean 2 (|w·x| |w| − 1) (sign(w·x) |w| x + |w·x| w / |w|), to 1e-9."""
    x, w = pictures(), float64(W).requires_grad_()
    gradient_penalty(score(x, w), x).backward(inputs=[w])
    norm = math.sqrt(dot(W, W))
    for n in range(3):
        terms = [
            2
            * (abs(dot(W, row)) * norm - 1)
            * (math.copysign(norm, dot(W, row)) * row[n] + abs(dot(W, row)) * W[n] / norm)
            for row in X
        ]
        assert float(w.grad[n]) == pytest.approx(sum(terms) / 2, **CLOSE)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_r1_and_r2_differentiate_the_sum_of_nested_logits(name: str) -> None:
    penalty, by_hand = PENALTIES[name]
    x = pictures()
    patches = x.flatten(1) * float64(V)  # (2, 3): the gradient of their sum is V
    gradients = [[dot(W, row) * w + v for w, v in zip(W, V, strict=True)] for row in X]
    assert float(penalty([score(x, float64(W)), (patches,)], x).detach()) == pytest.approx(by_hand(gradients), **CLOSE)


def test_the_gradient_penalty_differentiates_the_mean_of_nested_logits() -> None:
    """The critic is the one that gan/wasserstein averages: patches of a picture, then discriminators."""
    x = pictures()
    patches = x.flatten(1) * float64(V)
    gradients = [[(dot(W, row) * w + v / 3) / 2 for w, v in zip(W, V, strict=True)] for row in X]
    loss = gradient_penalty([score(x, float64(W)), [patches]], x)
    assert float(loss.detach()) == pytest.approx(one_centred(gradients), **CLOSE)


def test_the_gradient_penalty_is_finite_where_the_gradient_is_zero() -> None:
    x, w = pictures(), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    loss = gradient_penalty(score(x, w), x)
    loss.backward(inputs=[w])
    assert float(loss.detach()) == 1.0
    assert w.grad.isfinite().all()


@pytest.mark.parametrize(
    ("penalty", "logits", "pictures_"),
    [
        (r1, "real_logits", "x_real_leaf"),
        (r2, "fake_logits", "x_fake_leaf"),
        (gradient_penalty, "interpolate_logits", "interpolate"),
    ],
)
def test_logits_of_other_pictures_are_an_error(penalty: Callable[..., Tensor], logits: str, pictures_: str) -> None:
    x, w = pictures(), float64(W).requires_grad_()
    for others in (score(pictures(), w), score(x.detach(), float64(W))):
        with pytest.raises(ValueError) as error:
            penalty(others, x)
        assert str(error.value) == (
            f"{logits} have no gradient with respect to {pictures_}; compute them from this leaf, in a phase that "
            f"trains the discriminator"
        )


def test_interpolates_lie_between_the_pictures_of_a_pair() -> None:
    epsilon = float64([0.25, 0.75])
    real, fake = float64(X)[..., None, None].requires_grad_(), torch.full((2, 3, 1, 1), 2.0, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return epsilon.view(-1, *(1 for _ in shape)).expand(2, *shape)

    x = interpolate(real, fake, uniform)
    assert x.is_leaf and x.requires_grad
    assert x.flatten(1).tolist() == [[0.25 * v + 1.5 for v in X[0]], [0.75 * v + 0.5 for v in X[1]]]
    with pytest.raises(ValueError, match=r"differ in shape: \[2, 3, 1, 1\] and \[1, 3, 1, 1\]"):
        interpolate(real, fake[:1], uniform)


def test_interpolates_of_random_numbers_have_one_share_per_sample() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.ones(50, 3, 4, 4), torch.zeros(50, 3, 4, 4)
    x = interpolate(real, fake, lambda *shape: torch.rand(50, *shape, generator=generator)).detach()
    shares = x.flatten(1)
    assert shares.amin(1).equal(shares.amax(1))
    assert 0 <= shares.min() < 0.2 and 0.8 < shares.max() < 1
