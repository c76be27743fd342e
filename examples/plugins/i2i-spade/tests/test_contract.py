"""Test of the plugin contract: components, recipes, a resumed run, two processes."""

from __future__ import annotations

import warnings

import pytest

from i2i_core.testing import check_plugin

SMALL = (
    "data.image_size=32",
    "optimizers.default={use: sgd, lr: 1e-2}",  # Adam makes steps of the rounding noise in gradients that are zero
    "hooks.true_pairs=null",
)


@pytest.mark.slow
def test_the_plugin_keeps_the_contract() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was not trained: .*")  # the papers' pictures have to be fetched first
        check_plugin("spade", sets=SMALL)
