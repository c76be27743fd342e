"""What i2i asks of every plugin."""

from __future__ import annotations

import warnings

import pytest
from i2i_core.testing import check_plugin


def test_the_plugin_keeps_the_contract() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was not trained: .*")  # the papers' pictures have to be fetched first
        check_plugin("classics", sets=["data.image_size=64", "hooks.samples=null", "hooks.true_pairs=null"])
