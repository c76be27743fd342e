"""Views of named tensors, for hooks that draw pictures or measure translations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from i2i_core.interfaces import Stateful
from i2i_core.plan.draws import Draws
from i2i_core.plan.planner import PlannedTensors
from i2i_core.training.compute import Placement

Compute = Callable[[PlannedTensors, Mapping[str, Tensor], Draws], Mapping[str, Any]]


class View:
    """A named tensor as a function of a batch; see `i2i_core.interfaces.TensorView`."""

    def __init__(
        self, name: str, planned: PlannedTensors, compute: Compute, placement: Placement, seed: int, part: int
    ) -> None:
        """part: number of samples to compute at a time."""
        self.name, self.planned, self.compute = name, planned, compute
        self.placement, self.seed, self.part = placement, seed, part
        self.fields = planned.fields

    def __call__(self, batch: Mapping[str, Tensor], *, draw: int = 0, shared: bool = False) -> Tensor:
        count = len(next(iter(batch.values())))
        device, dtype = self.placement.device, self.placement.dtype
        made = []
        for start in range(0, count, self.part):
            stop = min(start + self.part, count)
            part = {name: _placed(field[start:stop], device, dtype) for name, field in batch.items()}
            draws = Draws(self.seed, draw, start, stop, count, device, dtype, shared)
            tensor: Tensor = self.compute(self.planned, part, draws)[self.name]
            made.append(tensor.float().cpu())
        return torch.cat(made)


def _placed(field: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return field.to(device, dtype if field.is_floating_point() else None)


@contextmanager
def without_trace(
    networks: Mapping[str, nn.Module], eval_networks: Mapping[str, nn.Module], stateful: Mapping[str, Stateful]
) -> Iterator[None]:
    """Put networks into eval mode in this block, and restore the state of tensors and losses after it.

    So nothing that is computed in it affects training.
    """
    both = (*networks.values(), *eval_networks.values())
    training = [module for network in both for module in network.modules() if module.training]
    remembered = {
        name: {key: tensor.detach().clone() for key, tensor in call.state_dict().items()}
        for name, call in stateful.items()
    }
    for network in both:
        network.eval()
    yield
    for module in training:
        module.training = True  # train() would also set modules that a network keeps in eval mode
    for name, call in stateful.items():
        call.load_state_dict(remembered[name])
