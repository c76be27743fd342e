"""Averages of networks over training."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from i2i_core.interfaces import RunContext
from i2i_core.recipe.names import NetworkName


class EMA:
    """Exponential moving averages of networks, used for pictures and kept in checkpoints.

    After every step, average ← decay · average + (1 − decay) · parameter, starting from the initial weights.
    unbiased: these are left out of it, as Adam corrects its moments, which matters in runs of few steps.
    """

    def __init__(self, *, networks: list[NetworkName], decay: float = 0.999, unbiased: bool = False) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), not {decay}")
        self.names, self.decay, self.unbiased = networks, decay, unbiased
        self.averages: dict[str, nn.Module] = {}

    def run_start(self, run: RunContext) -> None:
        self.averages = {name: copy.deepcopy(run.networks[name]).eval().requires_grad_(False) for name in self.names}
        run.eval_networks.update(self.averages)
        # Looked up once: to walk through the modules in every step costs more than to average their tensors.
        ours, theirs = self.averages.values(), [run.networks[name] for name in self.averages]
        self.parameters: tuple[list[Tensor], list[Tensor]] = (
            [p for network in ours for p in network.parameters()],
            [p for network in theirs for p in network.parameters()],
        )
        self.buffers: tuple[list[Tensor], list[Tensor]] = (
            [b for network in ours for b in network.buffers()],
            [b for network in theirs for b in network.buffers()],
        )

    @torch.no_grad()
    def after_step(self, run: RunContext) -> None:
        averages, parameters = self.parameters
        share = 1 - self.decay
        if self.unbiased:
            share /= 1 - self.decay**run.step
        torch._foreach_lerp_(averages, parameters, share)
        for mine, its in zip(*self.buffers, strict=True):
            mine.copy_(its)

    def state_dict(self) -> dict[str, Tensor]:
        return {
            f"{name}/{key}": value
            for name, average in self.averages.items()
            for key, value in average.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, average in self.averages.items():
            average.load_state_dict({key: state[f"{name}/{key}"] for key in average.state_dict()})
