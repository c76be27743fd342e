"""Deterministic weights and inputs of golden cases, so that a recorded run needs no file of weights."""

import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

LATENT_DIM = 16


def fill_array(net_key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the array named `net_key`, for example "generator/from_rgb.weight", in float64."""
    n = _rng(net_key).standard_normal(shape)
    if net_key.endswith("running_var"):
        return 1 + 0.1 * np.abs(n)
    if len(shape) >= 2:
        return n * math.sqrt(2 / math.prod(shape[1:]))
    if net_key.endswith("weight"):
        return 1 + 0.1 * n
    if net_key == "fan/l0.bias":
        return 0.05 * n - 130  # makes heatmaps sparse, so that masks are neither 0 nor 1 everywhere
    return 0.05 * n


def fill(module: nn.Module, net_name: str, dtype: torch.dtype) -> None:
    """Cast `module` to `dtype` and fill its state dict in place; `net_name` and a key determine the values.

    Integer tensors and the skip of a generator keep their values. The skip of the reference has no weights.
    """
    module.to(dtype)
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not key.startswith("skip."):
            tensor.copy_(torch.from_numpy(fill_array(f"{net_name}/{key}", tuple(tensor.shape))))


def inputs(case: str, batch: int, image_size: int, num_domains: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the inputs of the golden case named `case`.

    z_trg, z_trg2: latents (batch, 16).
    x_real, x_ref, x_ref2: smooth pictures with some noise, (batch, 3, image_size, image_size) in [-1, 1].
    y_org, y_trg: domains (batch,).
    """
    made = {}
    for name in ("z_trg", "z_trg2"):
        made[name] = _latent(_rng(f"input/{case}/{name}"), batch).to(dtype)
    for name in ("x_real", "x_ref", "x_ref2"):
        made[name] = _picture(_rng(f"input/{case}/{name}"), batch, image_size).to(dtype)
    made["y_org"] = torch.arange(batch) % num_domains
    made["y_trg"] = (torch.arange(batch) + 1) % num_domains
    return made


def _rng(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def _latent(rng: np.random.RandomState, batch: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal((batch, LATENT_DIM)))


def _picture(rng: np.random.RandomState, batch: int, size: int) -> Tensor:
    coarse = torch.from_numpy(rng.standard_normal((batch, 3, 8, 8)))
    fine = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return (fine + 0.1 * torch.from_numpy(rng.standard_normal((batch, 3, size, size)))).clamp(-1, 1)
