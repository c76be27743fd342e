"""Faces are brought into line as the reference does it, from any photograph."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from i2i_core.errors import DataError
from i2i_fan_mask.align import MEAN, crop, read_mean, similarity
from i2i_fan_mask.photographs import aligned_landmarks, find_landmarks


@pytest.fixture(scope="module")
def landmarks(astronaut, face68):
    return find_landmarks(astronaut, face68, face68)


def paper(size, *pasted):
    """A grey photograph with pictures pasted at places."""
    photograph = Image.new("RGB", size, "grey")
    for picture, place in pasted:
        photograph.paste(picture, place)
    return photograph


def test_matrices_are_the_references(golden):
    expected = {name: array.numpy() for name, array in golden("alignment").items()}
    for found, matrix in zip(expected["landmarks"], expected["matrices"], strict=True):
        np.testing.assert_allclose(similarity(found, expected["reference"]), matrix, rtol=0, atol=1e-6)


def test_a_similarity_undoes_turning_scaling_and_shifting(landmarks):
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])  # a quarter, and twice the size
    matrix = similarity(landmarks @ turn.T + (30, -5), landmarks)
    np.testing.assert_allclose(matrix[:2, :2] @ turn, np.eye(2), rtol=0, atol=1e-9)
    np.testing.assert_allclose(matrix @ (30, -5, 1), (0, 0, 1), rtol=0, atol=1e-9)


def test_an_aligned_face_has_its_pupils_and_mouth_where_the_mean_has_them(astronaut, face68, landmarks):
    mean = read_mean()
    turned = astronaut.rotate(30, expand=True)
    found = find_landmarks(turned, face68, face68)
    aligned = crop(turned, similarity(found, mean))
    assert aligned.size == (256, 256)
    points = aligned_landmarks(aligned, face68, face68)
    assert np.linalg.norm(points - mean, axis=1)[[96, 97, 76, 82]].max() < 8
    assert abs(points[96, 1] - points[97, 1]) < 3  # upright


def test_the_built_in_mean_is_framed_as_celeba_hq_and_symmetric():
    mean = read_mean()
    eyes, mouth = mean[[96, 97]].mean(0), mean[[76, 82]].mean(0)
    np.testing.assert_allclose(eyes + 0.1 * (mouth - eyes), (128, 128), atol=0.5)
    sides = 4.0 * np.linalg.norm(mean[97] - mean[96]), 3.6 * np.linalg.norm(mouth - eyes)
    assert max(sides) == pytest.approx(256, abs=12)
    np.testing.assert_allclose(mean[0] * (-1, 1) + (256, 0), mean[32], atol=0.02)


def test_what_is_inside_the_picture_is_kept_and_what_is_outside_mirrored(astronaut):
    picture = astronaut.resize((256, 256))
    np.testing.assert_allclose(crop(picture, np.eye(3)), picture, rtol=0, atol=1)
    shifted = np.asarray(crop(picture, np.array([[1.0, 0, 64], [0, 1, 0], [0, 0, 1]])))
    np.testing.assert_allclose(shifted[:, 64:], np.asarray(picture)[:, :192], rtol=0, atol=1)
    mirrored = np.asarray(picture)[:, :64][:, ::-1].astype(int)
    assert np.abs(shifted[:, 62:64] - mirrored[:, 62:64]).max() <= 60
    sharp, blurred = (np.abs(np.diff(side.astype(int), axis=0)).mean() for side in (mirrored[:, :32], shifted[:, :32]))
    assert blurred < sharp / 2
    assert np.abs(shifted[:, :32].mean((0, 1)) - mirrored[:, :32].mean((0, 1))).max() < 10


def test_a_large_picture_is_averaged_not_sampled(astronaut):
    stripes = Image.fromarray(np.tile(np.array([[0], [255]], np.uint8), (512, 1024))).convert("RGB")
    small = np.asarray(crop(stripes, np.diag([0.25, 0.25, 1.0])))
    assert np.abs(small.astype(int) - 128).max() <= 2


@pytest.mark.parametrize("size", [128, 512])
def test_size_scales_the_same_crop(astronaut, landmarks, size):
    matrix = similarity(landmarks, read_mean())
    first = crop(astronaut, matrix).filter(ImageFilter.GaussianBlur(3)).resize((64, 64))
    second = crop(astronaut, matrix, size).filter(ImageFilter.GaussianBlur(3 * size / 256)).resize((64, 64))
    assert np.abs(np.asarray(first, int) - np.asarray(second, int)).mean() < 3


def test_a_small_face_is_found_anywhere_in_a_photograph(astronaut, face68, landmarks):
    photograph = paper((1500, 900), (astronaut, (1200, 40)))
    found = find_landmarks(photograph, face68, face68)
    assert np.linalg.norm(found - landmarks - (1200, 40), axis=1).mean() < 3


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270])
def test_a_turned_face_is_aligned_upright(astronaut, face68, landmarks, turn):
    photograph = paper((300, 240), (astronaut, (60, 20)))
    upright = crop(photograph, similarity(landmarks + (60, 20), read_mean()))
    turned = photograph.transpose(turn)
    found = find_landmarks(turned, face68, face68)
    aligned = crop(turned, similarity(found, read_mean()))
    assert np.abs(np.asarray(aligned, float) - np.asarray(upright, float))[64:-64, 64:-64].mean() < 4


def test_the_largest_of_several_faces_is_taken(astronaut, face68, landmarks):
    double = astronaut.resize((384, 384))
    found = find_landmarks(paper((900, 500), (astronaut, (20, 50)), (double, (450, 90))), face68, face68)
    assert np.linalg.norm(found - landmarks * 2 - (450, 90), axis=1).mean() < 6


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (300, 200)])
def test_no_face_is_found_where_none_is(face68, size):
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    assert find_landmarks(noise, face68, face68) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"other": np.zeros((98, 2))}, "FILE is not a file of mean landmarks, which is an .npz with an array `mean`"),
        ({"mean": np.array([{}])}, "FILE is not a file of mean landmarks, which is an .npz with an array `mean`"),
        (
            {"mean": np.zeros((68, 2))},
            "FILE: the array `mean` must hold 98 finite points (x, y), shape [98, 2]; it is float64 of shape [68, 2]",
        ),
        (
            {"mean": np.full((98, 2), np.nan)},
            "FILE: the array `mean` must hold 98 finite points (x, y), shape [98, 2]; it is float64 of shape [98, 2]",
        ),
    ],
)
def test_a_mean_of_something_else_is_refused(content, said, tmp_path):
    path = tmp_path / "mean.npz"
    np.savez(path, **content)
    with pytest.raises(DataError) as caught:
        read_mean(path)
    assert str(caught.value) == said.replace("FILE", str(path))


def test_the_references_mean_is_read_in_its_own_precision(tmp_path):
    np.savez(tmp_path / "celeba_lm_mean.npz", mean=read_mean(MEAN))
    assert read_mean(tmp_path / "celeba_lm_mean.npz").dtype == np.float32
