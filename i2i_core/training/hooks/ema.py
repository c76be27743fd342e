"""Exponential moving averages (EMA) of networks."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from i2i_core.interfaces import RunContext
from i2i_core.recipe.names import NetworkName


class EMA:
    """Exponential moving averages (EMA) of networks, used for inference and saved in checkpoints.

    After every step, average ← decay · average + (1 − decay) · parameter, starting from the initial weights.
    networks: names of the networks to average. decay: decay rate, in [0, 1). unbiased: leave the initial weights out of
    the average, as Adam corrects the bias of its moments; this matters in runs of few steps.
    """

    def __init__(self, *, networks: list[NetworkName], decay: float = 0.999, unbiased: bool = False) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), not {decay}")
        self.names, self.decay, self.unbiased = networks, decay, unbiased
        self.averages: dict[str, nn.Module] = {}

    def run_start(self, run: RunContext) -> None:
        self.averages = {name: copy.deepcopy(run.networks[name]).eval().requires_grad_(False) for name in self.names}
        run.eval_networks.update(self.averages)
        # Looked up once, since walking through the modules costs more than averaging their tensors.
        averages, trained = self.averages.values(), [run.networks[name] for name in self.averages]
        self.parameters: tuple[list[Tensor], list[Tensor]] = (
            [p for network in averages for p in network.parameters()],
            [p for network in trained for p in network.parameters()],
        )
        self.buffers: tuple[list[Tensor], list[Tensor]] = (
            [b for network in averages for b in network.buffers()],
            [b for network in trained for b in network.buffers()],
        )

    @torch.no_grad()
    def after_step(self, run: RunContext) -> None:
        averages, parameters = self.parameters
        share = 1 - self.decay
        if self.unbiased:
            share /= 1 - self.decay**run.step
        torch._foreach_lerp_(averages, parameters, share)
        for average, buffer in zip(*self.buffers, strict=True):
            average.copy_(buffer)

    def state_dict(self) -> dict[str, Tensor]:
        return {
            f"{name}/{key}": value
            for name, average in self.averages.items()
            for key, value in average.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, average in self.averages.items():
            average.load_state_dict({key: state[f"{name}/{key}"] for key in average.state_dict()})
