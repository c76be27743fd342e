"""Checkpoints as the original saves them, with the weights of its recorded results."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from i2i_stargan_v2.golden import Case, _fan_tensor
from i2i_stargan_v2.golden_fill import fill_array

torch.set_num_threads(1)  # two threads under load can be far slower than one
GOLDEN = Path(__file__).parent / "golden"
Nets = dict[str, OrderedDict[str, Tensor]]


@pytest.fixture(scope="session")
def nets() -> Callable[..., Nets]:
    """nets("afhq64", ("generator", "fan")): what such a file holds of a golden case, in the case's precision."""

    def made(name: str, networks: tuple[str, ...], prefix: str = "module.") -> Nets:
        case = Case(GOLDEN / name)

        def tensor(network: str, key: str, shape: list[int]) -> Tensor:
            if key == "hpf.filter":
                return torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / case.facts["w_hpf"]
            if network == "fan":
                return _fan_tensor(key, shape, case.dtype)
            return torch.from_numpy(np.asarray(fill_array(f"{network}/{key}", tuple(shape)))).to(case.dtype)

        return {
            network: OrderedDict(
                (prefix + key, tensor(network, key, shape)) for key, shape in case.keys[network].items()
            )
            for network in networks
        }

    return made


@pytest.fixture(scope="session")
def flat(nets: Callable[..., Nets]) -> Callable[..., dict[str, Tensor]]:
    """The same by places in the file."""
    return lambda *what: {
        f"{network}/{key}": tensor for network, state in nets(*what).items() for key, tensor in state.items()
    }


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Tensor]], None]:
    """Set the contents of a checkpoint, by place in the file, without the process that reads it."""
    return lambda content: monkeypatch.setattr("i2i_core.disk.sandbox.read_apart", lambda _: content)
