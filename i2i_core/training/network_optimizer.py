"""Stepping a network: the schedule of its learning rate, the clipping of its gradient, its optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from i2i_core.interfaces import Schedule
from i2i_core.plan.checked import OptimizerSpec
from i2i_core.registry.specs import build


class NetworkOptimizer:
    """Steps one network."""

    def __init__(self, network: nn.Module, spec: OptimizerSpec) -> None:
        self.network = network
        self.optimizer: torch.optim.Optimizer = spec.spec.target(
            [p for p in network.parameters() if p.requires_grad], **spec.spec.params
        )
        self.lr: Schedule | None = build(spec.lr, {}) if spec.lr else None
        """The schedule of the learning rate; None for one that stays as the optimizer has it."""
        self.clip_norm = spec.clip_norm

    def step(self, step: int) -> None:
        """Change the parameters by their gradients, as it is due at this step of the run."""
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        if self.lr is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr(step)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the optimizer's tensors as "parameter/key"."""
        return {
            f"{parameter}/{key}": value
            for parameter, p in self.network.named_parameters()
            for key, value in self.optimizer.state.get(p, {}).items()
            if isinstance(value, Tensor)
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put the tensors of `state_dict` in place, those of parameters that are gone aside."""
        parameters = dict(self.network.named_parameters())
        for place, value in state.items():
            parameter, _, key = place.rpartition("/")
            if parameter in parameters:
                p = parameters[parameter]
                like = p if value.shape == p.shape else value  # fused optimizers want moments laid out as weights
                there = torch.empty_like(like, device=p.device, dtype=value.dtype)
                self.optimizer.state[p][key] = there.copy_(value)
