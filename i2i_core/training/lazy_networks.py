"""Networks whose sizes follow from what they are given: torch's lazy modules (nn.LazyLinear, nn.LazyConv2d, ...)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch.nn.parameter import is_lazy

from i2i_core.errors import Problem, RecipeError
from i2i_core.plan.draws import Draws, seed_of
from i2i_core.plan.tensors import Node, Values

if TYPE_CHECKING:
    from i2i_core.training.run import Run


def size_lazy_networks(run: Run) -> None:
    """Size every lazy network by what the plan calls it with, for two blank samples; its weights follow from the seed.

    It has to come before optimizers, averages and checkpoints, which want to know every parameter. RecipeError: a
    network of which a part is used by nothing.
    """
    lazy = {name for name, network in run.networks.items() if any(map(is_lazy, network.parameters()))}
    if not lazy:
        return
    side = run.recipe.data.image_size
    blank = {name: torch.zeros(2, 3, *side, device=run.device, dtype=run.dtype) if name.startswith("x_")
             else torch.zeros(2, device=run.device, dtype=torch.int64) for name in run.scope.fields}
    values = Values({**run.networks, **blank}, Draws(run.recipe.seed, 0, 0, 2, 2, run.device, run.dtype))
    torch.manual_seed(seed_of(run.recipe.seed, "lazy networks"))
    with run.no_trace():
        for phase in run.plan:
            for node in phase.compute:
                if _calls(lazy, node.arguments):
                    values[node]
            for term in phase.terms:
                if _calls(lazy, term.arguments):
                    term.loss(values)
    unused = {name: parameter for name in lazy for parameter, p in run.networks[name].named_parameters() if is_lazy(p)}
    if unused:
        raise RecipeError([Problem(f"no loss uses {unused[name]} of network {name}, so its size is not known",
                                   run.recipe.mark("networks", name)) for name in run.networks if name in unused])


def _calls(networks: set[str], arguments: Iterable[tuple[str, Node]]) -> bool:
    return any(node.kind == "network" and node.name in networks for _, node in arguments)
