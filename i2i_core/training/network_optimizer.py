"""The optimizer of a network, with its learning rate schedule and gradient clipping."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from i2i_core.interfaces import Schedule
from i2i_core.plan.checked import OptimizerSpec
from i2i_core.registry.specs import build


class NetworkOptimizer:
    """The optimizer of one network."""

    def __init__(self, network: nn.Module, spec: OptimizerSpec) -> None:
        self.network = network
        self.optimizer: torch.optim.Optimizer = spec.spec.target(
            [p for p in network.parameters() if p.requires_grad], **spec.spec.params
        )
        self.lr: Schedule | None = build(spec.lr, {}) if spec.lr else None
        """The schedule of the learning rate, or None for a constant one."""
        self.clip_norm = spec.clip_norm

    def step(self, step: int) -> None:
        """Clip the gradients, set the learning rate for this step of the run, and step the parameters."""
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        if self.lr is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr(step)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the optimizer's tensors by "parameter/key"."""
        return {
            f"{parameter}/{key}": value
            for parameter, p in self.network.named_parameters()
            for key, value in self.optimizer.state.get(p, {}).items()
            if isinstance(value, Tensor)
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the tensors of `state_dict`; those of parameters that no longer exist are ignored."""
        parameters = dict(self.network.named_parameters())
        for place, value in state.items():
            parameter, _, key = place.rpartition("/")
            if parameter in parameters:
                p = parameters[parameter]
                like = p if value.shape == p.shape else value  # fused optimizers want moments laid out as weights
                there = torch.empty_like(like, device=p.device, dtype=value.dtype)
                self.optimizer.state[p][key] = there.copy_(value)
