"""The checked recipe, in which every name is resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from i2i_core.errors import Mark
from i2i_core.interfaces import Schedule
from i2i_core.plan.fields import batch_fields, declared_fields
from i2i_core.plan.tensors import Definition
from i2i_core.recipe.sections import Recipe
from i2i_core.registry.specs import Spec, build

Key = tuple[str, str]
"""Group and name of a loss."""


@dataclass(frozen=True)
class ParameterPart:
    """The parameters of a network whose names match a pattern, and the factor of their learning rate."""

    pattern: str
    lr_scale: float
    mark: Mark


@dataclass(frozen=True)
class OptimizerSpec:
    """The optimizer of a network, with the keys that change during a run, gradient clipping and parts."""

    spec: Spec
    """The optimizer with the values of its keys at step 0."""
    schedules: Mapping[str, Callable[[int], Any]] = field(default_factory=dict)
    """Keys with schedules, such as `lr`, as functions of the step."""
    clip_norm: float | None = None
    """The norm to which gradients are clipped, or None."""
    parts: Sequence[ParameterPart] = ()
    """Parts of the network with a learning rate of their own."""


@dataclass
class Checked:
    """A recipe with a Spec for every component."""

    recipe: Recipe
    method: dict[str, Definition] = field(default_factory=dict)
    data: Spec | None = None
    validation: Spec | None = None
    transforms: list[Spec] = field(default_factory=list)
    """The transforms of `data.augment.also`."""
    networks: dict[str, Spec] = field(default_factory=dict)
    tensors: dict[str, Spec] = field(default_factory=dict)
    losses: dict[Key, Spec] = field(default_factory=dict)
    weights: dict[Key, Spec] = field(default_factory=dict)
    """The schedule of each loss's weight."""
    optimizers: dict[str, OptimizerSpec] = field(default_factory=dict)
    hooks: dict[str, Spec] = field(default_factory=dict)
    trainer: Spec | None = None
    format_names: Mapping[str, str] = field(default_factory=dict)
    """Names of all registered formats by import path."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The batch fields that the data set may provide, as far as is known before it is built."""
        return batch_fields(declared_fields(self.data), paired=True)

    def weight(self, loss: Key) -> Schedule:
        """Build the schedule of a loss's weight; an invalid one counts as 1."""
        if loss not in self.weights:
            return lambda step: 1.0
        schedule: Schedule = build(self.weights[loss], {})
        return schedule

    def is_watched(self, loss: Key) -> bool:
        """Return True if a loss has weight 0: it is computed and logged, but not minimised."""
        weight = self.weights[loss]
        return weight.entry.name == "constant" and weight.params["value"] == 0
