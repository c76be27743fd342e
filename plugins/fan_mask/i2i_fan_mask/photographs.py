"""Face detection and landmarks in photographs of any size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .align import Array
from .components import Heatmaps
from .face68 import SIZE, THRESHOLD, Face68

LOOKS = (80, 112, 160, 224, 320, 448, 640)  # px: sides at which a photograph is searched; large faces need small sides
TURNS = (None, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
SHARE, ABOVE = 0.7, 0.13  # shares of an aligned picture's side: the detector's box, and its centre below the middle


def tensor_of(picture: Image.Image, like: Face68) -> Tensor:
    """Convert an RGB picture to a tensor (1, 3, H, W) in [-1, 1] on the device of the network `like`."""
    pixels = torch.from_numpy(np.array(picture)).to(like.to_wflw.device)
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def find_landmarks(picture: Image.Image, finder: Face68, source: Face68 | Heatmaps) -> Array | None:
    """Return landmarks (98, 2) of the largest face as (x, y) in pixels of the picture, or None if there is no face.

    Upright faces come first; a picture without one is searched upside down, then on each of its sides.

    finder: network that detects the face.
    source: network that finds the landmarks, in a crop framed like an aligned picture.
    """
    for turn in TURNS:
        turned = picture if turn is None else picture.transpose(turn)
        for left, top, side in _squares(turned, finder):
            square = turned.crop((left, top, left + side, top + side))
            if (points := aligned_landmarks(square, finder, source)) is not None:
                return _turned_back(points * (side / SIZE) + (left, top), turn, picture.size)
    return None


def _turned_back(points: Array, turn: Image.Transpose | None, size: tuple[int, int]) -> Array:
    """Return where points of a turned picture are in the picture, which has the size (width, height)."""
    (x, y), (width, height) = points.T, size
    if turn is Image.Transpose.ROTATE_180:
        x, y = width - x, height - y
    elif turn is Image.Transpose.ROTATE_90:
        x, y = width - y, x
    elif turn is Image.Transpose.ROTATE_270:
        x, y = y, height - x
    return np.stack([x, y], axis=1)


def aligned_landmarks(picture: Image.Image, finder: Face68, source: Face68 | Heatmaps) -> Array | None:
    """Return landmarks (98, 2) in pixels of the whole picture at 256 x 256 px, or None if it shows no face."""
    pixels = tensor_of(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR), finder)
    if not finder.faces(pixels).all():
        return None
    points: Array = source.landmarks(pixels)[0].double().cpu().numpy()
    return points


@torch.no_grad()
def _squares(picture: Image.Image, finder: Face68) -> Iterator[tuple[int, int, int]]:
    """Yield squares (left, top, side) that may show a face, the largest first, framed like an aligned picture."""
    long = max(picture.size)
    for look in LOOKS:
        if look > max(long, LOOKS[1]):
            return
        small = picture.resize([max(3, round(n * look / long)) for n in picture.size], Image.Resampling.BILINEAR)
        boxes, scores = finder.detector(tensor_of(small, finder))
        if scores.max() >= THRESHOLD:
            x, y, width, height = (boxes[0, scores[0].argmax()] * (long / look)).tolist()
            side = max(width, height) / SHARE
            yield round(x - side / 2), round(y - side * (0.5 + ABOVE)), round(side)
