"""The reference's answers, and the inputs and weights by formula that they belong to."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


def golden(case: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / f"{case}.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def formula(name: str, tensor: Tensor) -> Tensor:
    """The value (float64) that the goldens give to a tensor of FAN, from its name and shape alone."""
    if not tensor.is_floating_point():
        return tensor
    n = np.random.RandomState(zlib.crc32(f"fan/{name}".encode())).standard_normal(tuple(tensor.shape))
    if name.endswith("running_var"):
        n = 1 + 0.1 * np.abs(n)
    elif n.ndim >= 2:
        n = n * math.sqrt(2 / np.prod(n.shape[1:]))
    elif name.endswith("weight"):
        n = 1 + 0.1 * n
    else:
        n = 0.05 * n - (130 if name == "l0.bias" else 0)  # sparse maps: masks neither 0 nor 1 everywhere
    return torch.from_numpy(n)


def x_real(case: str, batch: int, size: int) -> Tensor:
    """The goldens' pictures, float64 in [-1, 1]."""
    rng = np.random.RandomState(zlib.crc32(f"input/{case}/x_real".encode()))
    coarse = torch.from_numpy(rng.standard_normal((batch, 3, 8, 8)))
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return (smooth + 0.1 * torch.from_numpy(rng.standard_normal((batch, 3, size, size)))).clamp(-1, 1)


def gaussians(points: Tensor, sigma: float = 1.5) -> Tensor:
    """One Gaussian a landmark: (N, 98, 2) as (x, y) in 64-px maps to heatmaps (N, 98, 64, 64)."""
    line = torch.arange(64, dtype=points.dtype)
    x, y = points[..., 0, None, None], points[..., 1, None, None]
    return torch.exp(-((line[None, :] - x) ** 2 + (line[:, None] - y) ** 2) / (2 * sigma**2))
