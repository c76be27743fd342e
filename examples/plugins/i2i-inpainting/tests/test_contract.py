"""Test of the plugin contract."""

from __future__ import annotations

import warnings

import pytest

from i2i_core.testing import check_plugin

QUICK = (
    "data.image_size=32",
    "networks.generator={use: inpainting/completion, width: 4, norm: none}",
    "networks.discriminator={use: inpainting/discriminator, width: 4, features: 8, norm: none}",
    "hooks.samples=null",
    "hooks.holes=null",
    "hooks.hole_error=null",
)


@pytest.mark.slow
def test_the_plugin_keeps_the_contract() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was not trained: .*")  # the paper's pictures have to be fetched first
        check_plugin("inpainting", sets=QUICK)
