"""Test of the plugin contract."""

from __future__ import annotations

import warnings

import pytest

from i2i_core.testing import check_plugin

QUICK = (
    "data.image_size=32",
    "networks.generator={use: esrgan/rrdb, width: 4, growth: 2, blocks: 1}",
    "networks.discriminator={use: esrgan/vgg_discriminator, width: 4, levels: 2, hidden: 4, norm: none}",
    "losses.discriminator.adversarial.average=false",  # means over a batch depend on the number of processes
    "losses.generator.adversarial.average=false",
    "hooks.samples=null",
    "hooks.psnr=null",
)


@pytest.mark.slow
def test_the_plugin_keeps_the_contract() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was not trained: .*")  # the paper's pictures have to be fetched first
        check_plugin("esrgan", sets=QUICK)
