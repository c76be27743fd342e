"""Masks of faces without a download: a small network finds 68 landmarks, converted to WFLW's 98 and to heatmaps."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .face_api import SIDE, Detector, Points68, published
from .masks import masks

SIZE = 256  # px: the side to which a picture is resized
MAP_SIZE = 64  # px: the side of a heatmap
SIGMA = 1.5  # standard deviation of the Gaussian at a landmark, in px of a heatmap; 6 px of the picture
LOOKS = (80, 112)  # px: sides at which the detector sees a picture; it finds large faces best at small sizes
THRESHOLD = 0.5  # minimum score of a face
FIRST, AGAIN = 1.2, 1.25  # side of the crop, relative to the detector's box and then to the box of the last landmarks
LOOKS_AGAIN = 2  # how often landmarks are found again in a box around the last ones
WIDER, NARROWER = 1.15, 0.87  # sides of the crops that check the landmarks, relative to the last crop
SPREAD = 0.065  # maximum distance between landmarks of one face in different crops, relative to the size of the face
MIRRORED = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *range(45, 41, -1),
    *(47, 46),
    *range(39, 35, -1),
    *(41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *range(67, 64, -1),
]
"""Index of the mirror image of each of the 68 landmarks."""


class Face68(nn.Module):
    """Two masks of a face from the landmarks of a small network that is part of this plugin.

    Input: `of`, pictures (N, 3, H, W) in [-1, 1] of any size, whose face is at least a quarter of their height.
    Output: (mask_full, mask_no_mouth), each (N, 1, 256, 256) in [0, 1]. mask_full covers eyes, nose, eyebrows, mouth
    and chin; mask_no_mouth covers eyes and nose. Both are 0 for a picture without an upright face.

    The network is frozen and passes no gradient. Checkpoints do not contain it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.detector, self.points = published(Detector(), "detector"), published(Points68(), "points")
        self.to_wflw: Tensor
        self.register_buffer("to_wflw", wflw(), persistent=False)

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def forward(self, of: Tensor) -> tuple[Tensor, Tensor]:
        return masks(self.heatmaps(of))

    def heatmaps(self, of: Tensor) -> Tensor:
        """Return heatmaps (N, 98, 64, 64): 1 at a landmark, 0 far from it, and 0 for a picture without a face."""
        landmarks, found = self._look(of)
        return torch.where(found[:, None, None, None], gaussians(landmarks * (MAP_SIZE / SIZE) - 0.5), 0.0)

    def landmarks(self, of: Tensor) -> Tensor:
        """Return landmarks (N, 98, 2) as (x, y) in pixels of the square pictures `of`; NaN if there is no face."""
        landmarks, found = self._look(of)
        return torch.where(found[:, None, None], landmarks * (of.shape[-1] / SIZE), torch.nan)

    def faces(self, of: Tensor) -> Tensor:
        """Return True for each picture that shows an upright face, (N,) bool."""
        return self._look(of)[1]

    @torch.no_grad()
    def _look(self, of: Tensor) -> tuple[Tensor, Tensor]:
        """Return landmarks (N, 98, 2), in pixels of the pictures at 256 px, and True for each face found, (N,)."""
        with torch.autocast(of.device.type, enabled=False):  # bf16 resolves one pixel at 256 px
            pictures = _resized(of.to(self.to_wflw.dtype), SIZE)
            box, score = self._detect(pictures)
            centre, side = box[:, :2], box[:, 2:].amax(1)
            points = self._read(pictures, centre, side * FIRST)
            for _ in range(LOOKS_AGAIN):
                low, high = points.amin(1), points.amax(1)
                centre, side = (low + high) / 2, (high - low).amax(1) * AGAIN
                points = self._read(pictures, centre, side)
            plausible = self._spread(pictures, centre, side, points) <= SPREAD
            return self.to_wflw @ points, (score >= THRESHOLD) & plausible

    def _detect(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best box of each picture, (N, 4), and its score, (N,)."""
        boxes, scores = [], []
        for side in LOOKS:
            box, score = self.detector(_resized(pictures, side))
            boxes.append(box * (SIZE / side))
            scores.append(score)
        best = torch.cat(scores, dim=1).max(1)
        return torch.cat(boxes, dim=1)[torch.arange(len(pictures)), best.indices], best.values

    def _spread(self, pictures: Tensor, centre: Tensor, side: Tensor, points: Tensor) -> Tensor:
        """Return the mean distance (N,) of `points` from those in other crops, relative to the size of the face.

        The network gives the same landmarks of an upright face whether its crop is wider, narrower or mirrored. In an
        animal, an upside-down face or a wall it reads a different face each time.
        """
        mirror, width = points.new_tensor([-1, 1]), points.new_tensor([SIZE, 0])
        mirrored = self._read(pictures.flip(3), centre * mirror + width, side)[:, MIRRORED] * mirror + width
        others = [mirrored, *(self._read(pictures, centre, side * share) for share in (WIDER, NARROWER))]
        size = (points - points.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
        return (torch.stack(others) - points).norm(dim=3).mean((0, 2)) / size

    def _read(self, pictures: Tensor, centre: Tensor, side: Tensor) -> Tensor:
        """Return 68 landmarks (N, 68, 2) in pixels, from square crops with the given centre (N, 2) and side (N,)."""
        scale = (side / SIZE)[:, None]
        shift = centre * (2 / SIZE) - 1
        zero = torch.zeros_like(scale)
        theta = torch.stack([torch.cat([scale, zero, shift[:, :1]], 1), torch.cat([zero, scale, shift[:, 1:]], 1)], 1)
        grid = F.affine_grid(theta, [len(pictures), 3, SIDE, SIDE], align_corners=False)
        crops = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
        points: Tensor = self.points(crops)
        return centre[:, None] + (points - 0.5) * side[:, None, None]


def wflw() -> Tensor:
    """Return the matrix (98, 68) from iBUG's landmarks to WFLW's; most are equal, others lie between neighbours."""
    matrix = torch.zeros(98, 68)

    def put(number: int, *mean_of: int, weight: float = 1.0) -> None:
        for point in mean_of:
            matrix[number, point] += weight / len(mean_of)

    for number in range(33):  # WFLW has twice as many points on the jaw
        put(number, number // 2, (number + 1) // 2)
    for same, first, points in ((33, 17, 5), (42, 22, 5), (51, 27, 9), (76, 48, 20)):  # eyebrows, nose, mouth
        for i in range(points):
            put(same + i, first + i)
    # iBUG lacks the lower edge of an eyebrow. It is the upper edge, moved by a fifth of the distance from the middle
    # of the eyebrow to the eyelid.
    for numbers, uppers, middle, lid in (
        (range(38, 42), (21, 20, 19, 18), 19, (37, 38)),
        (range(47, 51), (25, 24, 23, 22), 24, (43, 44)),
    ):
        for number, upper in zip(numbers, uppers, strict=True):
            put(number, upper)
            put(number, middle, weight=-0.2)
            put(number, *lid, weight=0.2)
    for eye, first in ((60, 36), (68, 42)):  # WFLW has a third point between the two of each lid
        for i, between in enumerate(((0,), (1,), (1, 2), (2,), (3,), (4,), (4, 5), (5,))):
            put(eye + i, *(first + point for point in between))
    for pupil, first in ((96, 36), (97, 42)):
        put(pupil, *range(first, first + 6))
    return matrix


def gaussians(centres: Tensor) -> Tensor:
    """Return heatmaps (N, L, 64, 64) with a Gaussian at each of the centres (N, L, 2), (x, y) in pixels of the map."""
    line = torch.arange(MAP_SIZE, device=centres.device, dtype=centres.dtype)
    x, y = torch.exp((line - centres[..., None]).square() / (-2 * SIGMA**2)).unbind(2)
    return y[..., :, None] * x[..., None, :]


def _resized(pictures: Tensor, side: int) -> Tensor:
    return F.interpolate(pictures, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
