"""Initialisation of lazy modules (nn.LazyLinear, nn.LazyConv2d, ...), whose sizes follow from their inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from i2i_core.data.fitting import Layout
from i2i_core.errors import Problem, RecipeError
from i2i_core.plan.draws import Draws, seed_of
from i2i_core.plan.planner import PlannedPhase
from i2i_core.plan.tensors import Node
from i2i_core.plan.values import Values
from i2i_core.recipe.sections import Recipe
from i2i_core.training.compute import Placement


def size_lazy_networks(
    networks: Mapping[str, nn.Module],
    plan: Sequence[PlannedPhase],
    layouts: Mapping[str, Layout],
    recipe: Recipe,
    place: Placement,
) -> None:
    """Initialise lazy networks: compute the plan for two made-up samples, with weights that follow from the seed.

    Call it before optimizers, averages and checkpoints are made, which need all parameters. Raises RecipeError for a
    network with a part that no loss uses.
    """
    lazy = {name for name, network in networks.items() if any(map(is_lazy, network.parameters()))}
    if not lazy:
        return
    fields = {name for phase in plan for name in phase.fields}
    made_up = {
        name: layouts[name].examples(2, place.dtype).to(place.device)
        if name in layouts
        else torch.zeros(2, device=place.device, dtype=torch.int64)
        for name in fields
    }
    values = Values({**networks, **made_up, "step": 0}, Draws(recipe.seed, 0, 0, 2, 2, place.device, place.dtype))
    torch.manual_seed(seed_of(recipe.seed, "lazy networks"))
    for phase in plan:
        for node in phase.compute:
            if _calls(lazy, node.arguments):
                values[node]
        for term in phase.terms:
            if _calls(lazy, term.arguments):
                term.loss(values)
    unused = {name: parameter for name in lazy for parameter, p in networks[name].named_parameters() if is_lazy(p)}
    if unused:
        raise RecipeError(
            [
                Problem(
                    f"no loss uses {unused[name]} of network {name}, so its size is not known",
                    recipe.mark("networks", name),
                )
                for name in networks
                if name in unused
            ]
        )


def _calls(networks: Collection[str], arguments: Iterable[tuple[str, Node]]) -> bool:
    return any(node.kind == "network" and node.name in networks for _, node in arguments)
