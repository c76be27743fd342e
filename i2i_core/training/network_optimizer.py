"""The optimizer of a network, with keys that change during a run, gradient clipping and parts of the network."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from i2i_core.errors import Problem, RecipeError, did_you_mean
from i2i_core.plan.checked import OptimizerSpec


class NetworkOptimizer:
    """The optimizer of one network."""

    def __init__(self, name: str, network: nn.Module, spec: OptimizerSpec) -> None:
        """name: the network's. Raises RecipeError for parts without parameters, and keys that cannot change."""
        self.network = network
        groups = divided(name, network, spec)
        self.scales = [lr_scale for lr_scale, _ in groups] if spec.parts else []
        """The factor of the learning rate of each parameter group, if the network has parts."""
        parameters = [{"params": found} for _, found in groups] if spec.parts else groups[0][1]
        self.optimizer: torch.optim.Optimizer = spec.spec.target(parameters, **spec.spec.params)
        self.schedules = spec.schedules
        """Keys of the optimizer that change during the run, as functions of the step."""
        self.clip_norm = spec.clip_norm
        for key in self.schedules.keys() - self.optimizer.defaults.keys():
            what = f"optimizer {spec.spec.entry.name} keeps its {key} for the whole run, so it cannot be a schedule"
            raise RecipeError([Problem(what, spec.spec.mark)])
        self._scale_rates()

    def _scale_rates(self) -> None:
        for group, lr_scale in zip(self.optimizer.param_groups, self.scales, strict=False):
            group["lr"] *= lr_scale

    def step(self, step: int) -> None:
        """Clip the gradients, set the keys that change for this step of the run, and step the parameters."""
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        if self.schedules:
            now = {key: at(step) for key, at in self.schedules.items()}
            for group in self.optimizer.param_groups:
                group.update(now)
            if "lr" in now:
                self._scale_rates()
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


def divided(name: str, network: nn.Module, spec: OptimizerSpec) -> list[tuple[float, list[nn.Parameter]]]:
    """Divide the parameters of a network into those of no part, and those of each part, with their `lr_scale`.

    A parameter belongs to the first part whose pattern matches its name. Raises RecipeError for a part without any.
    """
    left = {parameter: p for parameter, p in network.named_parameters() if p.requires_grad}
    names, groups = list(left), list[tuple[float, list[nn.Parameter]]]()
    for part in spec.parts:
        matching = [parameter for parameter in names if fnmatchcase(parameter, part.pattern)]
        found = [left.pop(parameter) for parameter in matching if parameter in left]
        if not found:
            what = f"no parameter of network {name} matches {part.pattern}"
            if matching:
                what = f"every parameter of network {name} that matches {part.pattern} matches an earlier pattern, too"
            hint = did_you_mean(part.pattern, names) or f"its parameters are called {', '.join(names[:4])}, ..."
            raise RecipeError([Problem(what, part.mark, "" if matching else hint)])
        groups.append((part.lr_scale, found))
    return [*([(1.0, list(left.values()))] if left or not groups else []), *groups]
