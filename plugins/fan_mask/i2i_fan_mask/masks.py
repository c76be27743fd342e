"""The two masks of StarGAN v2's skip connections, from the heatmaps of facial landmarks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 256  # px: the side of a mask
FLOOR = 0.1  # heatmap values below this are set to 0
STRIP = 64  # rows of a mask that are interpolated at a time
EPS = 1e-6  # avoids division by zero for an empty map


class Move(NamedTuple):
    """Drawing step of a part: its maps are raised to `power` and shifted up by `up` rows, cyclically."""

    up: int
    power: int


class FacePart(NamedTuple):
    """Part of the face, from its first to its last landmark (WFLW's numbers); the results of its moves are added."""

    name: str
    first: int
    last: int
    moves: tuple[Move, ...]


# Not drawn: the cheeks 0-7 and 25-32, the outer ends of the eyebrows 33 and 46, the corners of the mouth 76 and 82.
INNER = (
    FacePart("top of the nose", 51, 51, (Move(0, 1),)),
    FacePart("nose", 52, 54, (Move(4, 1),)),
    FacePart("nostrils", 55, 59, (Move(8, 4),)),
    FacePart("eyes", 60, 75, (Move(-8, 3), Move(-24, 1))),
    FacePart("pupils", 96, 97, (Move(0, 1),)),
)
OUTER = (
    FacePart("chin", 8, 24, (Move(0, 3),)),
    FacePart("eyebrows", 34, 45, (Move(-7, 2),)),
    FacePart("eyebrows", 47, 50, (Move(-7, 2),)),
    FacePart("upper lip", 77, 81, (Move(-8, 4),)),
    FacePart("lower lip", 83, 87, (Move(8, 4),)),
    FacePart("inner lip", 88, 95, (Move(-2, 3),)),
)


def masks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two masks of a face: one of all parts, and one of eyes and nose.

    heatmaps: (N, 98, S, S) in WFLW's order, S <= 256.

    The result is (mask_full, mask_no_mouth), each (N, 1, 256, 256) in [0, 1], float32 or float64. If the heatmaps of a
    picture contain NaN, its masks are 0 there. Raises ValueError for other shapes.
    """
    if heatmaps.ndim != 4 or heatmaps.shape[1] != 98:
        raise ValueError(f"heatmaps must be (N, 98, S, S), one per landmark, not {tuple(heatmaps.shape)}")
    heatmaps = heatmaps.to(torch.promote_types(heatmaps.dtype, torch.float32))
    with torch.no_grad(), torch.autocast(heatmaps.device.type, enabled=False):  # bf16 resolves 1/256
        inner = _draw(heatmaps, INNER)
        full = inner + _draw(heatmaps, OUTER)
    return _clamp(full), _clamp(inner)


def _draw(heatmaps: Tensor, parts: tuple[FacePart, ...]) -> Tensor:
    """Return the sum of all parts, (N, 1, 256, 256).

    Parts are drawn one after the other to stay in the cache, and maps are summed before they are shifted.
    """
    drawing = heatmaps.new_zeros(heatmaps.shape[0], 1, SIZE, SIZE)
    for part in parts:
        maps = _normalise(_enlarge(heatmaps[:, part.first : part.last + 1]))
        for up, power in part.moves:
            drawing += maps.pow(power).sum(1, keepdim=True).roll(-up, dims=2)
    return drawing


def _enlarge(maps: Tensor) -> Tensor:
    """Interpolate maps (N, C, S, S) to 256 px, bilinearly with align_corners=True.

    Products with one S × 256 matrix are six times faster on a CPU than F.interpolate on all maps. A strip of output
    rows depends on few input rows, because the matrix is zero elsewhere.
    """
    side = maps.shape[-1]
    unit = torch.eye(side, dtype=maps.dtype, device=maps.device)
    matrix = F.interpolate(unit[None], SIZE, mode="linear", align_corners=True)[0]
    wide, strips = maps @ matrix, []
    for start in range(0, SIZE, STRIP):
        first = start * (side - 1) // (SIZE - 1)
        last = (start + STRIP - 1) * (side - 1) // (SIZE - 1) + 1  # the lower neighbour of the last row
        rows = slice(first, last + 1)
        strips.append(matrix[rows, start : start + STRIP].T @ wide[:, :, rows])
    return torch.cat(strips, dim=2)


def _normalise(maps: Tensor) -> Tensor:
    """Set values below FLOOR to 0 and scale each map to [0, 1], in place."""
    maps.mul_(maps >= FLOOR)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return maps.sub_(low).div_(high - low + EPS)


def _clamp(drawing: Tensor) -> Tensor:
    return drawing.nan_to_num_(0.0).clamp_(0.0, 1.0)
