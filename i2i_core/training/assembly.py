"""Building the networks, tensors and losses of a checked recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from i2i_core.errors import PluginError, Problem, RecipeError
from i2i_core.interfaces import Stateful
from i2i_core.models.heads import ANOTHER, Heads, find_heads
from i2i_core.plan.checked import Checked
from i2i_core.plan.draws import seed_of
from i2i_core.plan.flow import Built
from i2i_core.registry.specs import Spec, build
from i2i_core.training.compute import Placement, checkpoint_blocks, chosen


def build_networks(checked: Checked, facts: Mapping[str, object], seed: int) -> dict[str, nn.Module]:
    """Build all networks, each initialised from the seed and its name.

    facts: parameters that networks get from the data. Raises RecipeError with the problems of all networks. Under
    `torch.device("meta")` it checks sizes without taking memory.
    """
    networks, problems = {}, list[Problem]()
    for name, spec in checked.networks.items():
        torch.manual_seed(seed_of(seed, "network", name))
        try:
            made = networks[name] = build(spec, facts)
        except RecipeError as error:
            problems += error.problems
            continue
        if not isinstance(made, nn.Module):
            raise PluginError(
                f"{spec.mark}: network {spec.entry.name} returns an object of type "
                f"{type(made).__name__}, which is not an nn.Module; update or repair plugin "
                f"{spec.entry.plugin}"
            )
    if problems:
        raise RecipeError(problems)
    return networks


def heads_of(spec: Spec, network: nn.Module, facts: Mapping[str, object]) -> Heads:
    """Find the parts of a network that belong to domains, by building it for one domain more, without memory.

    A network that refuses another number of domains has none.
    """
    domains = facts["domains"]
    assert isinstance(domains, tuple)
    more = {**facts, "num_domains": len(domains) + 1, "domains": (*domains, ANOTHER)}
    try:
        with torch.device("meta"):
            grown = build(spec, more)
    except RecipeError:
        return Heads()
    return find_heads(_shapes(network), _shapes(grown), domains)


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items() if not is_lazy(tensor)}


def build_terms(checked: Checked, facts: Mapping[str, object], place: Placement) -> Built:
    """Build the tensors and losses. Some are networks that are never trained, such as FAN or a perceptual loss."""

    def built(spec: Spec) -> Any:
        made = build(spec, facts)
        if isinstance(made, nn.Module):
            made.to(place.device, place.dtype).to(memory_format=place.memory_format)
            if checked.recipe.compile is True:
                made.compile()
        return made

    return Built(
        {name: built(spec) for name, spec in checked.tensors.items()},
        {key: built(spec) for key, spec in checked.losses.items()},
    )


def stateful(built: Built) -> dict[str, Stateful]:
    """Return the tensors and losses with state, such as a pool of pictures, by part of a checkpoint.

    Modules are left out, since they are never trained.
    """
    named: dict[str, Any] = {f"tensors/{name}": call for name, call in built.tensors.items()}
    named |= {f"losses/{group}.{name}": call for (group, name), call in built.losses.items()}
    return {
        name: call for name, call in named.items() if hasattr(call, "state_dict") and not isinstance(call, nn.Module)
    }


def place_network(name: str, network: nn.Module, checked: Checked, place: Placement) -> None:
    """Set a network's memory format, activation checkpointing and compilation, as the recipe says."""
    network.to(memory_format=place.memory_format)
    if chosen(checked.recipe.activation_checkpointing, name):
        checkpoint_blocks(network)
    if chosen(checked.recipe.compile, name):
        network.compile()
