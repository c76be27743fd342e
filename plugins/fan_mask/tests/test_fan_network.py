"""FAN computes what the reference computes, and loads what the reference loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from i2i_fan_mask.fan import FAN
from i2i_fan_mask.landmarks import landmarks
from i2i_fan_mask.masks import masks

CASES = {  # name: batch, image size, dtype, tolerance
    "celeba64": (2, 64, torch.float64, 1e-9),
    "celeba256_full": (1, 256, torch.float32, 1e-4),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, fan, golden, x_real):
    batch, size, dtype, tolerance = CASES[request.param]
    heatmaps = fan(dtype)(x_real(request.param, batch, size).to(dtype))
    return golden(request.param), heatmaps, size, tolerance


def test_heatmaps_are_the_references(case):
    expected, heatmaps, _, tolerance = case
    torch.testing.assert_close(heatmaps.sum((2, 3)), expected["fan.raw_heatmaps_sum"], rtol=tolerance, atol=0)


def test_masks_are_the_references(case):
    expected, heatmaps, _, tolerance = case
    for mask, name in zip(masks(heatmaps), ("fan.mask_full", "fan.mask_no_mouth"), strict=True):
        assert mask.shape == (len(heatmaps), 1, 256, 256)
        torch.testing.assert_close(mask[..., ::8, ::8], expected[name], rtol=0, atol=tolerance)


def test_landmarks_are_the_references(case):
    expected, heatmaps, size, _ = case
    torch.testing.assert_close(landmarks(heatmaps, size).float(), expected["fan.landmarks"])


def test_names_and_shapes_are_those_of_wing_ckpt():
    ours = {name: list(tensor.shape) for name, tensor in FAN().state_dict().items()}
    assert ours == json.loads((Path(__file__).parent / "golden" / "fan.keys.json").read_text())


def test_parameter_count_is_the_papers_repositorys():
    assert sum(p.numel() for p in FAN().parameters()) == 6_333_603


def test_a_landmark_leans_towards_its_larger_neighbours():
    heatmaps = torch.zeros(1, 98, 64, 64)
    heatmaps[0, 0, 10, 20], heatmaps[0, 0, 10, 21], heatmaps[0, 0, 9, 20] = 1.0, 0.5, 0.5
    heatmaps[0, 1, 10, 63], heatmaps[0, 1, 9, 63] = 1.0, 0.5  # on the border nothing leans
    found = landmarks(heatmaps, 128)[0]
    assert found[0].tolist() == [2 * 20.75, 2 * 10.25]
    assert found[1].tolist() == [2 * 63.5, 2 * 10.5]


def test_fan_can_be_traced_for_any_number_of_faces(fan, x_real) -> None:
    network, faces = fan(torch.float32), x_real("fan64", 3, 64).float()
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    traced = torch.export.export(network, (faces[:2],), dynamic_shapes=shapes).module()
    for batch in (faces[:1], faces):
        maps = network(batch)
        assert (traced(batch) - maps).abs().max() < 1e-6 * maps.abs().max()
