"""Landmarks and masks from the vendored networks: the original's numbers, and right on a photograph of a face."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_fan_mask.components import Heatmaps
from i2i_fan_mask.face68 import MIRRORED, gaussians, wflw
from i2i_fan_mask.face_api import Detector, Points68, published
from i2i_fan_mask.masks import masks

SEEN = {
    96: (73.5, 71.0),
    97: (117.0, 73.5),
    54: (95.0, 97.0),
    57: (96.0, 103.0),
    76: (73.0, 110.0),
    82: (114.5, 110.5),
    85: (94.0, 123.5),
    16: (94.0, 149.0),
}
"""Landmarks annotated by a person, in px: pupils, tip and base of the nose, corners of the mouth, lower lip, chin."""


def pixels(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.fixture(scope="module")
def face(astronaut):
    return pixels(astronaut)


@pytest.fixture(scope="module")
def noise():
    values = np.random.RandomState(0).randint(0, 256, (112, 112, 3), dtype=np.uint8)
    return torch.from_numpy(values).permute(2, 0, 1)[None].float() / 127.5 - 1


def test_the_landmark_network_computes_what_the_original_does(golden, astronaut, noise):
    network, expected = published(Points68(), "points"), golden("face_api")
    for crop, name in ((pixels(astronaut.crop((37, 46, 149, 158))), "face"), (noise, "noise")):
        torch.testing.assert_close(network(crop)[0], expected[name], rtol=0, atol=1e-6)


def test_the_detector_computes_what_the_original_does(golden, face):
    network, raw = published(Detector(), "detector"), []
    with network.conv8.register_forward_hook(lambda layer, inputs, out: raw.append(out)):
        boxes, scores = network(face)
    torch.testing.assert_close(raw[0].permute(0, 2, 3, 1), golden("face_api")["detector"], rtol=0, atol=1e-4)
    x, y, width, height = boxes[0, scores[0].argmax()].tolist()
    assert scores.max() > 0.9
    for landmark in SEEN.values():
        assert abs(landmark[0] - x) < width / 2 and abs(landmark[1] - y) < height / 2


def test_landmarks_are_where_a_person_sees_them(face68, face):
    landmarks = face68.landmarks(face)[0]
    for number, seen in SEEN.items():
        assert (landmarks[number] - torch.tensor(seen)).norm() < 4, number


def test_landmarks_are_the_same_at_any_size(face68, face):
    for side in (64, 512):
        resized = torch.nn.functional.interpolate(face, size=(side, side), mode="bilinear", antialias=True)
        difference = face68.landmarks(resized) * (192 / side) - face68.landmarks(face)
        assert difference.norm(dim=2).mean() < 3


def test_the_masks_cover_eyes_and_nose_and_one_of_them_the_mouth(face68, face):
    full, inner = (mask[0, 0] for mask in face68(of=face))
    assert full.shape == inner.shape == (256, 256)

    def at(mask, *numbers):
        return [mask[int(SEEN[n][1] * 256 / 192), int(SEEN[n][0] * 256 / 192)].item() for n in numbers]

    assert min(at(inner, 96, 97, 54)) > 0.8
    assert max(at(inner, 85, 16)) < 0.1
    assert min(at(full, 96, 97, 54, 85, 16)) > 0.4
    assert inner.mean() < full.mean() < 0.25


def test_a_picture_without_a_face_has_empty_masks_and_stays_with_itself(face68, face, noise):
    noise = torch.nn.functional.interpolate(noise, size=(192, 192))
    batch = torch.cat([noise, face, torch.zeros_like(face), torch.full_like(face, torch.nan)])
    assert face68.faces(batch).tolist() == [False, True, False, False]
    for mask, alone in zip(face68(batch), face68(face), strict=True):
        assert mask.count_nonzero((1, 2, 3)).bool().tolist() == [False, True, False, False]
        torch.testing.assert_close(mask[1:2], alone, rtol=0, atol=1e-4)
    assert face68.landmarks(batch).isnan().all((1, 2)).tolist() == [True, False, True, True]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_is_not_upright_is_no_face(face68, face, turns):
    turned = torch.rot90(face, turns, (2, 3))
    assert not face68.faces(turned).any()
    assert face68.landmarks(turned).isnan().all()
    assert not any(mask.any() for mask in face68(turned))


def test_landmarks_of_a_mirrored_crop_are_renumbered(face68, face):
    crop, mirrored = (face68.points(x[..., 46:158, 37:149])[0] for x in (face, face.flip(3).roll(-6, 3)))
    assert sorted(MIRRORED) == list(range(68))
    assert (mirrored[MIRRORED] * torch.tensor([-1, 1]) + torch.tensor([1, 0]) - crop).norm(dim=1).mean() < 0.03


def test_masks_in_float64_and_under_autocast_are_those_in_float32(face68, face):
    expected = face68(face)
    exact = type(face68)().double()(face.double())
    with torch.autocast("cpu", torch.bfloat16):
        found = face68(face)
    for mask, wide, same in zip(expected, exact, found, strict=True):
        assert wide.dtype == torch.float64
        torch.testing.assert_close(mask, wide.float(), rtol=0, atol=1e-3)
        torch.testing.assert_close(mask, same, rtol=0, atol=1e-4)


def test_face68_stays_frozen_and_passes_no_gradient(face68, face):
    face68.train()
    assert not any(module.training for module in face68.modules())
    assert not any(p.requires_grad for p in face68.parameters())
    assert not any(mask.requires_grad for mask in face68(face.clone().requires_grad_()))


def test_wflws_landmarks_are_means_of_ibugs_and_symmetric():
    matrix = wflw()
    torch.testing.assert_close(matrix.sum(1), torch.ones(98))
    same = {0: 0, 32: 16, 33: 17, 46: 26, 51: 27, 57: 33, 60: 36, 72: 45, 76: 48, 82: 54, 85: 57, 95: 67}
    for number, point in same.items():
        assert matrix[number].nonzero().flatten().tolist() == [point]
    ibug = [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        *range(35, 30, -1),
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        67,
        66,
        65,
    ]
    mirrored = {0: 32, 33: 46, 37: 42, 38: 50, 41: 47, 51: 51, 55: 59, 60: 72, 62: 70, 66: 74, 76: 82, 83: 87, 96: 97}
    for one, other in mirrored.items():
        torch.testing.assert_close(matrix[one][ibug], matrix[other])


def test_a_heatmap_peaks_at_its_landmark_with_a_sigma_of_6_px_at_256():
    maps = gaussians(torch.tensor([[[20.0, 10.0]]], dtype=torch.float64))[0, 0]
    assert maps[10, 20] == 1
    assert maps[10, 23].item() == maps[7, 20].item() == pytest.approx(np.exp(-(12**2) / (2 * 6**2)))


def test_face68_and_fan_answer_the_same_questions(face68, wing, face):
    fan = Heatmaps(weights=wing)
    for source in (face68, fan):
        assert [tuple(mask.shape) for mask in source(face)] == [(1, 1, 256, 256)] * 2
        assert source.landmarks(face).shape == (1, 98, 2)
        assert source.faces(face).dtype == torch.bool
    for mask, same in zip(face68(face), masks(face68.heatmaps(face)), strict=True):
        torch.testing.assert_close(mask, same, rtol=0, atol=1e-4)
