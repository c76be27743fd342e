"""Face alignment: the similarity transform from landmarks to mean landmarks, and the aligned crop of a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from i2i_core.errors import DataError

Array = npt.NDArray[np.floating]
SIZE = 256  # px: the side of the pictures that mean landmarks refer to
MEAN = Path(__file__).with_name("mean.npz")
LEFT_EYE, RIGHT_EYE = [*range(60, 68), 96], [*range(68, 76), 97]  # as seen in the picture, each with its pupil
MOUTH = [76, 82]  # corners
FADE, BLUR = 0.1, 0.03  # shares of the crop's side: distance from the picture of full blur, and radius of the blur


def similarity(landmarks: Array, mean: Array) -> Array:
    """Return the similarity transform (3, 3) that maps a picture's landmarks (98, 2) to the landmarks `mean` (98, 2).

    The matrix maps (x, y, 1) of the picture to the aligned picture.

    - Translation: the centre of the landmarks, their mean, moves to the centre of `mean`.
    - Rotation: the x axes of both sets agree, where

        x axis = (right eye - left eye) - rotate90(centre of the eyes - centre of the mouth),  rotate90(x, y) = (y, -x)

    - Scale: the ratio of the distance to the centre in `mean` to that in `landmarks`, averaged over the pupils and the
      corners of the mouth.
    """
    # Computed in the precision of the mean and with the cosine, like the reference, whose means are float32.
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
    """Return the aligned crop (`size` x `size` pixels, RGB) of a picture.

    `matrix` (3, 3) maps pixels of the picture to those of an aligned picture of 256 px. Parts outside the picture are
    mirrored at its border and blurred; the blur increases with the distance from the border.
    """
    onto = np.diag([size / SIZE, size / SIZE, 1.0]) @ matrix
    if (shrink := int(1 / math.sqrt(np.linalg.det(onto)))) > 1:
        picture, onto = picture.reduce(shrink), onto @ np.diag([shrink, shrink, 1.0])
    back = np.linalg.inv(onto)
    corners = (back @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]]))[:2]
    left, top = (int(v) for v in np.floor(corners.min(1)) - 2)  # 2 px: the reach of the bicubic filter
    right, bottom = (int(v) for v in np.ceil(corners.max(1)) + 2)
    area = _mirrored(picture, (left, top, right, bottom), math.sqrt(np.linalg.det(back)) * size)
    back[:2, 2] -= left, top
    affine = tuple(back[:2].flatten())
    return area.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)


def _mirrored(picture: Image.Image, box: tuple[int, int, int, int], side: float) -> Image.Image:
    """Return the part of a picture in a box that may exceed it; `side` is the side of the crop in pixels."""
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
    """Read mean landmarks (98, 2), in pixels of a 256-px picture, from the array `mean` of an .npz file.

    Raises DataError if the file is unreadable or has other contents.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean: Array = arrays["mean"]
    except Exception as error:  # numpy raises many types for a broken file
        raise DataError(f"{path} is not a file of mean landmarks, which is an .npz with an array `mean`") from error
    if mean.shape != (98, 2) or mean.dtype.kind != "f" or not np.isfinite(mean).all():
        raise DataError(
            f"{path}: the array `mean` must hold 98 finite points (x, y), shape [98, 2]; "
            f"it is {mean.dtype} of shape {list(mean.shape)}"
        )
    return mean
