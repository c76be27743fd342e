"""Tests of the plugin contract, which train the bundled recipe, and of the components."""

from __future__ import annotations

import pytest
import torch
from i2i_core.testing import check_plugin

from i2i_plugin_name.losses import charbonnier
from i2i_plugin_name.networks import Generator


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("plugin_name")


def test_charbonnier_is_epsilon_for_equal_pictures_and_l1_for_distant_ones() -> None:
    black, white = -torch.ones(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert charbonnier(black, black, epsilon=0.1).item() == pytest.approx(0.1)
    assert charbonnier(black, white, epsilon=0.1).item() == pytest.approx((2**2 + 0.1**2) ** 0.5)


def test_the_generator_gives_pictures_of_any_size_that_depend_on_the_domain() -> None:
    generator, x = Generator(num_domains=3), torch.zeros(2, 3, 8, 12)
    made = generator(x, torch.tensor([0, 2]))
    assert made.shape == x.shape
    assert made.abs().max() <= 1
    assert not made[0].equal(made[1])
