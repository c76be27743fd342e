"""Heatmaps become the reference's masks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from i2i_fan_mask.masks import INNER, OUTER, masks


@pytest.fixture(scope="module")
def heatmaps(golden):
    """One Gaussian a landmark (σ 1.5 in 64-px maps): (3, 98, 64, 64), float64."""
    line = torch.arange(64).double()
    x, y = golden("masks")["landmarks"][..., None, None].unbind(2)
    return torch.exp(-((line[None, :] - x) ** 2 + (line[:, None] - y) ** 2) / (2 * 1.5**2))


def test_masks_of_gaussians_are_the_references(heatmaps, golden):
    expected = golden("masks")
    for mask, name in zip(masks(heatmaps), ("mask_full", "mask_no_mouth"), strict=True):
        torch.testing.assert_close(mask[..., ::2, ::2], expected[name], rtol=0, atol=1e-9)


def test_heatmaps_may_be_large_already(heatmaps):
    large = F.interpolate(heatmaps[:1], 256, mode="bilinear", align_corners=True)
    for mask, same in zip(masks(large), masks(heatmaps[:1]), strict=True):
        torch.testing.assert_close(mask, same, rtol=0, atol=1e-9)


def test_heatmaps_are_left_as_they_were(heatmaps):
    large = F.interpolate(heatmaps[:1], 256, mode="bilinear", align_corners=True)
    before = large.clone()
    masks(large)
    assert torch.equal(large, before)


def test_a_value_of_the_floor_is_kept():
    heatmaps = torch.zeros(1, 98, 256, 256, dtype=torch.float64)
    heatmaps[0, 96, 100, 100], heatmaps[0, 96, 100, 102], heatmaps[0, 96, 100, 104] = 1.0, 0.1, 0.099
    full, inner = masks(heatmaps)
    assert torch.equal(full, inner)
    assert inner[0, 0, 100, 100:105:2].tolist() == pytest.approx([1.0, 0.1, 0.0], abs=1e-6)


def test_every_landmark_is_drawn_once_or_named_as_not_drawn():
    drawn = [number for part in INNER + OUTER for number in range(part.first, part.last + 1)]
    left_out = {*range(0, 8), *range(25, 33), 33, 46, 76, 82}
    assert sorted(drawn) == [number for number in range(98) if number not in left_out]


def test_bf16_heatmaps_give_float32_masks_under_autocast(heatmaps):
    coarse = heatmaps[:1].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = masks(coarse)
    for mask, expected in zip(found, masks(coarse.float()), strict=True):
        assert mask.dtype == torch.float32
        torch.testing.assert_close(mask, expected)


def test_nan_is_an_empty_mask_and_stays_with_its_picture(heatmaps):
    broken = heatmaps[:2].clone()
    broken[0, 60] = torch.nan
    full, inner = masks(broken)
    assert not full[0].any()
    assert not inner[0].any()
    torch.testing.assert_close(full[1], masks(heatmaps[1:2])[0][0], rtol=0, atol=1e-9)


def test_other_maps_are_refused():
    with pytest.raises(ValueError, match=r"must be \(N, 98, S, S\), one per landmark, not \(1, 68, 64, 64\)"):
        masks(torch.zeros(1, 68, 64, 64))
