"""DiffAugment computes what the paper describes, and a policy that is none is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from i2i_core.errors import RecipeError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_regularize.diffaugment import AUGMENTATIONS, DiffAugment

HEIGHT, WIDTH = 17, 24


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(6, 3, HEIGHT, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def u() -> torch.Tensor:
    """Draws for six pictures, the extremes among them."""
    u = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    u[:, 0], u[:, 1] = 0, 1 - 1e-16
    return u


def color(picture, brightness, saturation, contrast):
    out = picture + (brightness - 0.5)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            grey = sum(out[:, i, j]) / 3
            out[:, i, j] = grey + 2 * saturation * (out[:, i, j] - grey)
    return out.mean() + (0.5 + contrast) * (out - out.mean())


def translation(picture, down, right, _):
    down, right = int(down * 5) - 2, int(right * 7) - 3  # 17 // 8 = 2 and 24 // 8 = 3 pixels either way
    out = np.zeros_like(picture)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            if 0 <= i + down < HEIGHT and 0 <= j + right < WIDTH:
                out[:, i + down, j + right] = picture[:, i, j]
    return out


def cutout(picture, down, right, _):
    row, column = int(down * HEIGHT), int(right * WIDTH)
    out = picture.copy()
    for i in range(row - 4, row + 4):  # 8 and 12 pixels: half of 17 and of 24
        for j in range(column - 6, column + 6):
            if 0 <= i < HEIGHT and 0 <= j < WIDTH:
                out[:, i, j] = 0
    return out


@pytest.mark.parametrize("by_hand", [color, translation, cutout])
def test_an_augmentation_is_the_one_by_hand(by_hand, x, u) -> None:
    expected = [by_hand(picture, *draws) for picture, draws in zip(x.numpy(), u.T.numpy(), strict=True)]
    found = AUGMENTATIONS[by_hand.__name__](x, u)
    np.testing.assert_allclose(found.numpy(), np.stack(expected), rtol=0, atol=1e-9)
    assert not any(picture.equal(changed) for picture, changed in zip(x[:3], found[:3], strict=True))


def test_a_policy_acts_in_its_order_with_draws_of_its_own(x) -> None:
    draws = torch.rand(2, 3, 6, dtype=torch.float64)
    expected = AUGMENTATIONS["color"](AUGMENTATIONS["cutout"](x, draws[0]), draws[1])
    torch.testing.assert_close(DiffAugment(torch.nn.Identity(), ["cutout", "color"]).augment(x, draws), expected)


def test_every_shift_and_every_centre_is_as_likely_as_another() -> None:
    torch.manual_seed(0)
    n = 20_000
    wrapper = DiffAugment(torch.nn.Identity(), ["translation"])
    line = torch.arange(1.0, 9).expand(n, 1, 8, 8)  # 1 to 8 from left to right: what is at column 3 says the shift
    shifts = 4 - wrapper(line)[:, 0, 3, 3]
    shares = torch.stack([(shifts == by).double().mean() for by in (-1, 0, 1)])
    assert shares.allclose(torch.full_like(shares, 1 / 3), atol=0.02)
    cut = DiffAugment(torch.nn.Identity(), ["cutout"])(torch.ones(n, 1, 8, 8)).eq(0).double().mean((0, 1))
    reached = torch.tensor([3, 4, 4, 4, 4, 4, 3, 2]).double() / 8  # centres from which 4 pixels cover a place
    assert cut.allclose(torch.outer(reached, reached), atol=0.02)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            "[color, cutuot]",
            "networks.discriminator.policy.1 should be 'color', 'translation' or 'cutout', not 'cutuot'",
        ),
        ("[]", "networks.discriminator.policy: list should have at least 1 item, not 0"),
        ("[color, color]", "networks.discriminator.policy: it names color twice"),
    ],
)
def test_a_policy_that_is_none_is_told(policy: str, said: str) -> None:
    discriminator = (
        f"networks.discriminator={{use: regularize/diffaugment, policy: {policy}, network: stargan_v2/discriminator}}"
    )
    with pytest.raises(RecipeError) as refused:
        load("stargan_v2.yaml", [discriminator], discover())
    assert [problem.message for problem in refused.value.problems] == [said]


def test_one_augmentation_may_be_written_without_a_list() -> None:
    checked = load(
        "stargan_v2.yaml",
        ["networks.discriminator={use: regularize/diffaugment, policy: cutout, network: stargan_v2/discriminator}"],
        discover(),
    )
    assert checked.networks["discriminator"].params["policy"] == ["cutout"]
