"""GAN objectives, regularisers and feature matching in float64, against formulas written out for single numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from i2i_core.registry.signatures import call_arguments
from i2i_core.training.losses import gan
from i2i_core.training.losses.lecam import LeCam
from i2i_core.training.losses.matching import feature_matching

REAL, FAKE = [-2.0, 0.3, 1.7], [-1.5, 0.25, 4.0]
REAL_MAP, FAKE_MAP = [[0.5, -1.0], [2.0, 3.0], [-0.7, 0.1]], [[1.5, -0.4], [0.9, -2.0], [0.2, 0.6]]
CLOSE = {"rel": 1e-9, "abs": 1e-9}
PLAYERS = ("discriminator", "generator")

OBJECTIVES: dict[str, Callable[..., gan.GANLoss]] = {
    "bce": gan.bce,
    "hinge": gan.hinge,
    "lsgan": gan.lsgan,
    "wasserstein": gan.wasserstein,
    "relativistic": gan.relativistic,
    "relativistic average": lambda **keys: gan.relativistic(**keys, average=True),
}


def logits(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def softplus(t: float) -> float:
    return math.log1p(math.exp(t))


def mean(numbers: Any) -> float:
    values = list(numbers)
    return sum(values) / len(values)


def flat(values: list[Any]) -> list[float]:
    return [number for row in values for number in (row if isinstance(row, list) else [row])]


def relativistic(player: str, real: list[float], fake: list[float]) -> float:
    sign = 1 if player == "discriminator" else -1
    return mean(softplus(sign * (f - r)) for r, f in zip(real, fake, strict=True))


def relativistic_average(player: str, real: list[float], fake: list[float]) -> float:
    sign = 1 if player == "discriminator" else -1
    return mean(softplus(-sign * (r - mean(fake))) for r in real) + mean(
        softplus(sign * (f - mean(real))) for f in fake
    )


def by_hand(name: str, player: str, real: list[float], fake: list[float]) -> float:
    if name == "relativistic":
        return relativistic(player, real, fake)
    if name == "relativistic average":
        return relativistic_average(player, real, fake)
    for_real, for_fake, wish = {
        "bce": (lambda d: softplus(-d), softplus, lambda d: softplus(-d)),
        "hinge": (lambda d: max(0.0, 1 - d), lambda d: max(0.0, 1 + d), lambda d: -d),
        "lsgan": (lambda d: (d - 1) ** 2, lambda d: d**2, lambda d: (d - 1) ** 2),
        "wasserstein": (lambda d: -d, lambda d: d, lambda d: -d),
    }[name]
    if player == "generator":
        return mean(map(wish, fake))
    return mean(map(for_real, real)) + mean(map(for_fake, fake))


def call(loss: gan.GANLoss, real: Any, fake: Any) -> Tensor:
    """With the logits that the loss reads."""
    given = {"real_logits": real, "fake_logits": fake}
    return loss(**{name: given[name] for name in call_arguments(loss)[0]})


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("nested", [False, True])
def test_objectives_are_their_formulas(name: str, player: str, nested: bool) -> None:
    loss = OBJECTIVES[name](player=player)
    expected = single = by_hand(name, player, REAL, FAKE)
    real: Any = logits(REAL)
    fake: Any = logits(FAKE)
    if nested:  # a tensor of three logits counts as much as one of six
        other = by_hand(name, player, flat(REAL_MAP), flat(FAKE_MAP))
        expected = mean([single, other, single])
        real, fake = [real, (logits(REAL_MAP), [real])], [fake, [logits(FAKE_MAP), (fake,)]]
    assert float(call(loss, real, fake)) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_of_objectives_are_those_of_their_formulas(name: str, player: str) -> None:
    """By central differences of the formula; the generator's has none to the real logits."""
    real, fake = logits(REAL).requires_grad_(), logits(FAKE).requires_grad_()
    call(OBJECTIVES[name](player=player), real, fake).backward()
    for side, (values, found) in enumerate(((REAL, real.grad), (FAKE, fake.grad))):
        if player == "generator" and side == 0:
            assert found is None
            continue
        for n in range(3):
            up, down = ([v + step * (i == n) for i, v in enumerate(values)] for step in (1e-6, -1e-6))
            given = ((up, FAKE), (down, FAKE)) if side == 0 else ((REAL, up), (REAL, down))
            slope = (by_hand(name, player, *given[0]) - by_hand(name, player, *given[1])) / 2e-6
            assert float(found[n]) == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_both_players_name_their_objective(name: str) -> None:
    assert {OBJECTIVES[name](player=player).objective for player in PLAYERS} == {name}


def test_the_relativistic_generator_reads_real_logits() -> None:
    assert call_arguments(gan.relativistic(player="generator"))[0] == ("real_logits", "fake_logits")


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (
            [logits(REAL), [logits(REAL)]],
            [logits(FAKE), logits(FAKE)],
            "real_logits and fake_logits differ in structure: [tensor, [tensor]] and [tensor, tensor]; "
            "compute both with the same discriminators",
        ),
        (
            logits(REAL),
            [logits(FAKE)],
            "real_logits and fake_logits differ in structure: tensor and [tensor]; "
            "compute both with the same discriminators",
        ),
        ([logits(REAL)], [], "fake_logits should be a tensor or nested lists of tensors, and contains an empty list"),
        (
            [logits(REAL)],
            [None],
            "fake_logits should be a tensor or nested lists of tensors, and contains a value of type NoneType",
        ),
    ],
)
def test_structures_that_differ_are_one_error(name: str, real: Any, fake: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        OBJECTIVES[name](player="discriminator")(real, fake)
    assert str(error.value) == message


def test_relativistic_pairs_need_one_shape() -> None:
    """Else (3,) and (3, 1) would be broadcast to 9 pairs."""
    real, fake = logits(REAL), logits(FAKE)[:, None]
    for player in PLAYERS:
        with pytest.raises(ValueError, match=r"compared sample by sample, and have the shapes \[3\] and \[3, 1\]"):
            gan.relativistic(player=player)(real, fake)
    assert gan.relativistic(player="generator", average=True)(real, fake).dim() == 0


def test_feature_matching_is_the_mean_over_layers_of_l1() -> None:
    a, b, c = logits(REAL_MAP), logits([[1.0], [2.0], [3.0]]), logits([REAL])
    x, y, z = (t.clone().requires_grad_() for t in (logits(FAKE_MAP), b + 0.5, c - 2))
    real = [[a.requires_grad_(), b], [c]]
    loss = feature_matching(real, ((x, y), [z]))
    of_a = mean(abs(p - q) for p, q in zip(flat(REAL_MAP), flat(FAKE_MAP), strict=True))
    loss.backward()
    assert float(loss.detach()) == pytest.approx((of_a + 0.5 + 2) / 3, **CLOSE)
    assert a.grad is None, "real features are constants"
    assert z.grad.tolist() == [pytest.approx([-1 / 9] * 3, **CLOSE)]


def test_features_of_other_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"real_features and fake_features are compared .* \[3\] and \[2\]"):
        feature_matching([logits(REAL)], [logits(FAKE[:2])])
    with pytest.raises(ValueError, match="real_features and fake_features differ in structure"):
        feature_matching([logits(REAL)], logits(REAL))


def lecam_by_hand(batches: list[tuple[list[float], list[float]]], decay: float) -> float:
    """Of the last batch: the averages are weighted sums over all batches, newest first."""
    weights = [decay**age for age in range(len(batches))]

    def average(side: int) -> float:
        means = [mean(batch[side]) for batch in reversed(batches)]
        return sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)

    real, fake = batches[-1]
    return mean(max(0.0, d - average(1)) ** 2 for d in real) + mean(max(0.0, average(0) - d) ** 2 for d in fake)


def test_lecam_is_its_formula_with_averages_over_all_batches() -> None:
    loss, seen = LeCam(decay=0.7), list[tuple[list[float], list[float]]]()
    for shift in (0.0, 2.0, -1.0):
        seen.append(([d + shift for d in REAL], [d - shift for d in FAKE]))
        real, fake = map(logits, seen[-1])
        assert float(loss(real, fake)) == pytest.approx(lecam_by_hand(seen, 0.7), **CLOSE)


def test_lecam_has_averages_for_each_discriminator_and_its_gradient_keeps_them_constant() -> None:
    loss = LeCam(decay=0.5)
    real, fake = logits(REAL).requires_grad_(), logits(FAKE).requires_grad_()
    total = loss([real, [logits(REAL_MAP)]], (fake, [logits(FAKE_MAP)]))
    of_map = lecam_by_hand([(flat(REAL_MAP), flat(FAKE_MAP))], 0.5)
    total.backward()
    assert float(total.detach()) == pytest.approx((lecam_by_hand([(REAL, FAKE)], 0.5) + of_map) / 2, **CLOSE)
    assert real.grad.tolist() == pytest.approx([max(0, d - mean(FAKE)) / 3 for d in REAL], **CLOSE)
    assert fake.grad.tolist() == pytest.approx([-max(0, mean(REAL) - d) / 3 for d in FAKE], **CLOSE)


def test_lecam_goes_on_with_its_state() -> None:
    first, second = LeCam(), LeCam()
    assert first.state_dict() == {}
    first(logits(REAL), logits(FAKE))
    second.load_state_dict({key: tensor.clone() for key, tensor in first.state_dict().items()})
    again = [float(loss(logits(FAKE), logits(REAL))) for loss in (first, second)]
    assert again[0] == again[1] != float(LeCam()(logits(FAKE), logits(REAL)))


def test_lecam_averages_bf16_logits_in_float32() -> None:
    loss = LeCam()
    loss(logits(REAL).bfloat16(), logits(FAKE).bfloat16())
    assert {tensor.dtype for tensor in loss.state_dict().values()} == {torch.float32}
