"""Regularisation of discriminators: spectral normalisation, DiffAugment and ADA, as wrappers of any network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from i2i_core import hookimpl
from i2i_core.errors import Problem

if TYPE_CHECKING:
    from i2i_core.recipe.sections import Recipe
    from i2i_core.registry.entries import Registrar


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.network("spectral_norm", "i2i_regularize.spectral:spectral_norm")
    registry.network("diffaugment", "i2i_regularize.diffaugment:DiffAugment")
    registry.network("ada", "i2i_regularize.ada:ADA")
    registry.loss("overfitting", "i2i_regularize.controller:overfitting")
    registry.hook("ada", "i2i_regularize.controller:Controller")
    registry.hook("probability", "i2i_regularize.controller:Probability")


@hookimpl
def i2i_check(recipe: Recipe) -> list[Problem]:
    """Report networks with ADA but without the hook that changes p; p would stay 0 and nothing would be augmented."""
    changing = ("regularize/ada", "regularize/probability")
    moved = {hook.params.get("network") for hook in recipe.all_hooks().values() if hook.use in changing}
    return [
        Problem(
            f"network {name} is wrapped by regularize/ada, but no hook changes its p from 0",
            recipe.mark("networks", name),
            f"add {{use: regularize/ada, network: {name}, phase: ...}} to the hooks",
        )
        for name, network in recipe.networks.items()
        if name not in moved and "regularize/ada" in _uses({"use": network.use, **network.params})
    ]


def _uses(keys: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a component and of all components in its keys."""
    yield keys.get("use", "")
    for value in keys.values():
        if isinstance(value, dict):
            yield from _uses(value)
