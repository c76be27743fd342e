"""Exponential moving averages (EMA) of networks."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from i2i_core.interfaces import RunContext, Schedule, number_at
from i2i_core.recipe.names import NetworkName
from i2i_core.recipe.sections import Decay


class EMA:
    """Exponential moving averages (EMA) of networks, used for inference and saved in checkpoints.

    After every step, average ← decay · average + (1 − decay) · parameter, starting from the initial weights.
    networks: names of the networks to average. decay: decay rate, in [0, 1), a number or a schedule. unbiased: leave
    the initial weights out of the average, as Adam corrects the bias of its moments; this matters in runs of few steps.
    """

    def __init__(self, *, networks: list[NetworkName], decay: Decay | Schedule = 0.999, unbiased: bool = False) -> None:
        self.names, self.decay, self.unbiased = networks, decay, unbiased
        self.averages: dict[str, nn.Module] = {}
        self.initial = 1.0
        """The share of the initial weights in the average: the product of all decay rates until now."""

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
        decay = number_at(self.decay, run.step - 1)
        share = 1 - decay
        if self.unbiased:
            self.initial *= decay
            share /= 1 - self.initial
        torch._foreach_lerp_(averages, parameters, share)
        for average, buffer in zip(*self.buffers, strict=True):
            average.copy_(buffer)

    def state_dict(self) -> dict[str, Tensor]:
        averages = {
            f"{name}/{key}": value
            for name, average in self.averages.items()
            for key, value in average.state_dict().items()
        }
        initial = {"initial": torch.tensor(self.initial, dtype=torch.float64)} if self.unbiased else {}
        return {**averages, **initial}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, average in self.averages.items():
            average.load_state_dict({key: state[f"{name}/{key}"] for key in average.state_dict()})
        if self.unbiased:
            self.initial = float(state["initial"])
