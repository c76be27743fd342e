"""Tests of the components: masks from a frozen FAN, masks of ones, and the high-pass skip."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import i2i_fan_mask
from i2i_fan_mask.components import Heatmaps, HighPass, everywhere
from i2i_fan_mask.masks import masks


@pytest.fixture(scope="module")
def heatmaps(wing):
    return Heatmaps(weights=wing)


def test_heatmaps_are_fans_masks_without_a_graph(heatmaps, fan, x_real):
    pictures = x_real("celeba256_full", 1, 256).float().requires_grad_()
    graphs = []
    with heatmaps.fan.register_forward_hook(lambda fan, inputs, out: graphs.append(out.requires_grad)):
        found = heatmaps(of=pictures)
    assert graphs == [False]
    for mask, expected in zip(found, masks(fan(torch.float32)(pictures)), strict=True):
        assert not mask.requires_grad
        torch.testing.assert_close(mask, expected)


def test_fan_stays_frozen_whatever_mode_is_asked_for(heatmaps):
    before = {name: tensor.clone() for name, tensor in heatmaps.state_dict().items()}
    heatmaps.train()
    assert not any(module.training for module in heatmaps.modules())
    assert not any(p.requires_grad for p in heatmaps.parameters())
    heatmaps(torch.zeros(1, 3, 16, 24))
    assert all(torch.equal(before[name], tensor) for name, tensor in heatmaps.state_dict().items())


def test_fan_sees_a_face_where_both_pupils_have_a_peak(heatmaps, x_real):
    pictures = x_real("celeba256_full", 3, 256).float()
    peaks = heatmaps.fan(pictures)
    peaks[:, 96:] = 0
    peaks[0, 96:, 10, 20], peaks[1, 96, 10, 20], peaks[2, 96:, 10, 20] = 0.1, 1.0, 0.09
    with heatmaps.fan.register_forward_hook(lambda fan, inputs, out: peaks):
        assert heatmaps.faces(pictures).tolist() == [True, False, False]


def test_everywhere_is_ones():
    first, second = everywhere(torch.zeros(2, 3, 48, 64, dtype=torch.float64))
    assert torch.equal(first, torch.ones(2, 1, 48, 64, dtype=torch.float64))
    assert torch.equal(first, second)


def by_hand(x, strength):
    """9 times the pixel minus the 3×3 sum around it, with zeros outside."""
    return strength * (9 * x - 9 * F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, stride=1))


@pytest.mark.parametrize(
    ("size", "which", "given"),
    [(32, 0, {}), (64, 1, {}), (128, 1, {}), (8, 0, {"sizes": (8, 16)}), (32, 1, {"sizes": (32, 16)})],
)
def test_the_skip_is_the_high_pass_of_masked_features(size, which, given):
    generator = torch.Generator().manual_seed(size)
    features = torch.randn(2, 5, size, size, dtype=torch.float64, generator=generator)
    two = tuple(torch.rand(2, 1, 256, 256, dtype=torch.float64, generator=generator) for _ in range(2))
    mask = F.interpolate(two[which], size=(size, size), mode="bilinear", align_corners=False)
    found = HighPass(strength=0.3, **given)(features, two)
    torch.testing.assert_close(found, by_hand(mask * features, 0.3), rtol=0, atol=1e-12)


def test_the_skip_takes_features_that_are_not_square():
    features = torch.randn(1, 2, 64, 96)
    found = HighPass()(features, everywhere(torch.zeros(1, 3, 256, 384)))
    torch.testing.assert_close(found, by_hand(features, 1.0))


def test_the_skip_passes_gradients_to_the_features():
    features = torch.randn(1, 2, 32, 32, dtype=torch.float64, requires_grad=True)
    two = everywhere(torch.zeros(1, 3, 256, 256, dtype=torch.float64))
    HighPass()(features, two)[0, 0, 10, 10].backward()
    assert features.grad[0, 0, 9:12, 9:12].tolist() == [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    assert features.grad[0, 1].count_nonzero() == 0


def test_the_skip_has_sizes_and_nothing_to_save_or_train():
    skip = HighPass()
    assert skip.sizes == (32, 64, 128)
    assert not skip.state_dict()
    assert not list(skip.parameters())


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf")])
def test_a_strength_that_is_none_is_refused(strength):
    with pytest.raises(ValueError, match=f"strength must be a finite number above 0, not {strength}; to train"):
        HighPass(strength=strength)


def test_a_skip_that_acts_nowhere_is_refused():
    with pytest.raises(ValueError, match="sizes is empty"):
        HighPass(sizes=())


def test_the_plugin_names_what_exists():
    found = {}

    class Registry:
        def __getattr__(self, kind):
            return lambda name, target: found.update({(kind, name): target})

    i2i_fan_mask.i2i_components(Registry())
    assert set(found) == {
        ("tensor", "heatmaps"),
        ("tensor", "face68"),
        ("tensor", "everywhere"),
        ("network", "high_pass"),
    }
    for target in found.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_declaring_the_plugin_does_not_import_torch():
    code = "import sys, i2i_fan_mask; sys.exit('torch' in sys.modules)"
    path = os.pathsep.join(filter(None, sys.path))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
