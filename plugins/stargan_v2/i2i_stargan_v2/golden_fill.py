"""Weights and inputs by formula, so that a recorded reference run can be rebuilt without a weights file."""

import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

LATENT_DIM = 16


def fill_array(net_key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The weights named `net_key`, for example "generator/from_rgb.weight", in float64."""
    n = _rng(net_key).standard_normal(shape)
    if net_key.endswith("running_var"):
        return 1 + 0.1 * np.abs(n)
    if len(shape) >= 2:
        return n * math.sqrt(2 / math.prod(shape[1:]))
    if net_key.endswith("weight"):
        return 1 + 0.1 * n
    if net_key == "fan/l0.bias":
        return 0.05 * n - 130  # sparse heatmaps, so that the masks are neither 0 nor 1 everywhere
    return 0.05 * n


def fill(module: nn.Module, net_name: str, dtype: torch.dtype) -> None:
    """Cast `module` to `dtype` and fill its state in place, by its keys in network `net_name`.

    Left alone are tensors that are not floating, and a generator's skip: the reference's has no weights.
    """
    module.to(dtype)
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not key.startswith("skip."):
            tensor.copy_(torch.from_numpy(fill_array(f"{net_name}/{key}", tuple(tensor.shape))))


def inputs(case: str, batch: int, image_size: int, num_domains: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """The inputs of golden case `case`.

    Latents `z_trg`, `z_trg2` (batch, 16); smooth pictures with some noise, `x_real`, `x_ref` and `x_ref2`
    (batch, 3, image_size, image_size) in [-1, 1]; domains `y_org`, `y_trg` (batch,).
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
