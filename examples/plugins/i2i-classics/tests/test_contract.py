"""Test of the plugin contract."""

from __future__ import annotations

import warnings

import pytest

from i2i_core.testing import check_plugin

SGD = "optimizers.default={use: sgd, lr: 1e-2}"
"""Biases that an instance norm cancels have rounding noise for gradients, which Adam makes steps of."""


@pytest.mark.slow
def test_the_plugin_keeps_the_contract() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was not trained: .*")  # the papers' pictures have to be fetched first
        check_plugin("classics", sets=[SGD, "hooks.samples=null", "hooks.true_pairs=null"])
