"""Faces brought into line: the similarity that takes landmarks to their mean, and the picture under it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from i2i_core.errors import DataError

Array = npt.NDArray[np.floating]
SIZE = 256  # px: the side of the pictures that mean landmarks are for
MEAN = Path(__file__).with_name("mean.npz")
LEFT_EYE, RIGHT_EYE = [*range(60, 68), 96], [*range(68, 76), 97]  # left and right in the picture; with the pupil
MOUTH = [76, 82]  # its ends
FADE, BLUR = 0.1, 0.03  # of the crop's side: how far outside it is all blurred, and the blur's radius


def similarity(landmarks: Array, mean: Array) -> Array:
    """The matrix (3, 3) that takes (x, y, 1) of a picture to where its landmarks (98, 2) are like `mean` (98, 2).

    It takes one set's centre, the mean of all landmarks, to the other's. It turns so that both x axes agree, where

        x axis = (right eye - left eye) - rotate90(centre of the eyes - centre of the mouth),  rotate90(x, y) = (y, -x)

    and scales by the mean, over pupils and ends of the mouth, of their distances to the centre, theirs over ours.
    """
    # In the mean's own precision, and by the cosine: so the matrix is the reference's, whose means are float32.
    (x, y), (to_x, to_y) = _x_axis(landmarks), _x_axis(mean)
    angle = math.copysign(math.acos(min(1.0, x * to_x + y * to_y)), x * to_y - y * to_x)
    scale = np.mean(_radii(mean) / _radii(landmarks))
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[a, -b], [b, a]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = mean.mean(0) - turn @ landmarks.mean(0)
    return matrix


def _x_axis(landmarks: Array) -> Array:
    left, right, mouth = (landmarks[part].mean(0) for part in (LEFT_EYE, RIGHT_EYE, MOUTH))
    up = (left + right) / 2 - mouth
    axis: Array = (right - left) - np.array([up[1], -up[0]], dtype=landmarks.dtype)
    return axis / np.linalg.norm(axis)


def _radii(landmarks: Array) -> Array:
    radii: Array = np.linalg.norm(landmarks[[96, 97, *MOUTH]] - landmarks.mean(0), axis=1)
    return radii


def crop(picture: Image.Image, matrix: Array, size: int = SIZE) -> Image.Image:
    """The RGB picture under a matrix that takes its pixels to those of an aligned picture of 256 px, at `size` px.

    What lies outside the picture is mirrored at its border, and the more blurred the farther it is.
    """
    onto = np.diag([size / SIZE, size / SIZE, 1.0]) @ matrix
    if (shrink := int(1 / math.sqrt(np.linalg.det(onto)))) > 1:
        picture, onto = picture.reduce(shrink), onto @ np.diag([shrink, shrink, 1.0])
    back = np.linalg.inv(onto)
    corners = (back @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]]))[:2]
    left, top = (int(v) for v in np.floor(corners.min(1)) - 2)  # 2 px: what a bicubic filter sees beyond
    right, bottom = (int(v) for v in np.ceil(corners.max(1)) + 2)
    area = _mirrored(picture, (left, top, right, bottom), math.sqrt(np.linalg.det(back)) * size)
    back[:2, 2] -= left, top
    affine = tuple(back[:2].flatten())
    return area.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)


def _mirrored(picture: Image.Image, box: tuple[int, int, int, int], side: float) -> Image.Image:
    """The part of a picture in a box that may go beyond it; `side` is the crop's, in pixels."""
    left, top, right, bottom = box
    inside = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
    if inside == box:
        return picture.crop(box)
    pads = ((inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]))
    padded = Image.fromarray(np.pad(np.asarray(picture.crop(inside)), (*pads, (0, 0)), mode="symmetric"))
    rows, columns = (
        np.maximum(before - np.arange(n), np.arange(n) - (n - 1 - after)).clip(0)
        for n, (before, after) in zip(padded.size[::-1], pads, strict=True)
    )
    outside = np.hypot(rows[:, None], columns[None, :]) / (FADE * side)
    share = Image.fromarray((outside.clip(0, 1) * 255).round().astype(np.uint8))
    return Image.composite(padded.filter(ImageFilter.GaussianBlur(BLUR * side)), padded, share)


def read_mean(path: Path = MEAN) -> Array:
    """Mean landmarks (98, 2) in pixels of a 256-px picture: the array `mean` of an .npz file. Raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean: Array = arrays["mean"]
    except Exception as error:  # a broken file fails wherever it breaks
        raise DataError(f"{path} is no file of mean landmarks: an .npz with an array called mean") from error
    if mean.shape != (98, 2) or mean.dtype.kind != "f" or not np.isfinite(mean).all():
        raise DataError(f"{path} holds no mean of 98 points (x, y), but {mean.dtype} of shape {list(mean.shape)}")
    return mean
