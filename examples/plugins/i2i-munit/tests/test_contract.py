"""Test of the plugin contract."""

from __future__ import annotations

import warnings

import pytest

from i2i_core.testing import check_plugin

QUICK = (
    "data.image_size=32",
    *(f"networks.{kind}_{d}.width=4" for kind in ("Ec", "Es", "G", "D") for d in "ab"),
    *(f"networks.{kind}_{d}.blocks=1" for kind in ("Ec", "G") for d in "ab"),
    "hooks.samples=null",
    "hooks.samples_back=null",
    "hooks.a_to_b=null",
    "hooks.b_to_a=null",
)


@pytest.mark.slow
def test_the_plugin_keeps_the_contract() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was not trained: .*")  # the paper's pictures have to be fetched first
        check_plugin("munit", sets=QUICK)
