"""FAN with the goldens' weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fan_goldens import formula
from i2i_fan_mask.fan import FAN
from torch import Tensor

torch.set_num_threads(1)


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
