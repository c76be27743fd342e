"""FAN with weights by formula, and the reference's answers for it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from i2i_fan_mask.face68 import Face68
from i2i_fan_mask.fan import FAN

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """Load the recorded arrays of the reference for a case."""

    def load(case: str) -> dict[str, Tensor]:
        with np.load(Path(__file__).parent / "golden" / f"{case}.npz") as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays}

    return load


@pytest.fixture(scope="session")
def x_real() -> Callable[[str, int, int], Tensor]:
    """The goldens' pictures of a case, float64 in [-1, 1], from the batch's and the picture's size."""

    def make(case: str, batch: int, size: int) -> Tensor:
        rng = np.random.RandomState(zlib.crc32(f"input/{case}/x_real".encode()))
        coarse = torch.from_numpy(rng.standard_normal((batch, 3, 8, 8)))
        smooth = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
        return (smooth + 0.1 * torch.from_numpy(rng.standard_normal((batch, 3, size, size)))).clamp(-1, 1)

    return make


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


@pytest.fixture(scope="session")
def weights() -> dict[str, Tensor]:
    """FAN's state dict by formula, float64."""
    return {name: formula(name, tensor) for name, tensor in FAN().state_dict().items()}


@pytest.fixture(scope="session")
def fan(weights: dict[str, Tensor]) -> Callable[[torch.dtype], FAN]:
    """FAN with weights by formula, in a dtype."""

    def make(dtype: torch.dtype) -> FAN:
        network = FAN().to(dtype).eval().requires_grad_(False)
        network.load_state_dict(weights)
        return network

    return make


@pytest.fixture(scope="session")
def wing(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FAN's weights by formula, float32, as a file."""
    path = tmp_path_factory.mktemp("weights") / "wing.safetensors"
    save_file({name: t.float() if t.is_floating_point() else t for name, t in weights.items()}, path)
    return path


@pytest.fixture(scope="session")
def face68() -> Face68:
    return Face68()


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """192 x 192 px of NASA's portrait of Eileen Collins (public domain), from scikit-image 0.26's astronaut.png."""
    with Image.open(Path(__file__).with_name("astronaut.png")) as picture:
        return picture.convert("RGB")
