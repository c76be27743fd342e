"""Test of the plugin contract."""

from __future__ import annotations

import warnings

import pytest

from i2i_core.testing import check_plugin

QUICK = (
    "data.image_size=32",
    "networks.generator.width=4",
    "networks.generator.blocks=1",
    "networks.discriminator.width=4",
    "hooks.samples=null",
    "hooks.edits=null",
)


@pytest.mark.slow
def test_the_plugin_keeps_the_contract() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was not trained: .*")  # the paper's pictures have to be fetched first
        check_plugin("stargan_v1", sets=QUICK)
