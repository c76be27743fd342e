"""A checked recipe: every name in it was found."""

from __future__ import annotations

from dataclasses import dataclass, field

from i2i_core.interfaces import Schedule
from i2i_core.plan.tensors import Definition
from i2i_core.recipe.sections import Recipe
from i2i_core.registry.specs import Spec, build

Key = tuple[str, str]
"""The group of a loss, and its name there."""


@dataclass(frozen=True)
class OptimizerSpec:
    """What steps a network: its optimizer, and what the core does around that."""

    spec: Spec
    lr: Spec | None = None
    """The schedule of the learning rate; None where it is a number, which the optimizer itself takes."""
    clip_norm: float | None = None
    """The norm to which gradients are clipped."""


@dataclass
class Checked:
    """A recipe with a Spec for every component."""

    recipe: Recipe
    method: dict[str, Definition] = field(default_factory=dict)
    data: Spec | None = None
    validation: Spec | None = None
    networks: dict[str, Spec] = field(default_factory=dict)
    tensors: dict[str, Spec] = field(default_factory=dict)
    losses: dict[Key, Spec] = field(default_factory=dict)
    weights: dict[Key, Spec] = field(default_factory=dict)
    """The schedule of each loss's weight."""
    optimizers: dict[str, OptimizerSpec] = field(default_factory=dict)
    hooks: dict[str, Spec] = field(default_factory=dict)
    trainer: Spec | None = None

    def weight(self, loss: Key) -> Schedule:
        """Build the schedule of a loss's weight; one that is mistaken counts as 1."""
        if loss not in self.weights:
            return lambda step: 1.0
        schedule: Schedule = build(self.weights[loss], {})
        return schedule

    def is_watched(self, loss: Key) -> bool:
        """Whether a loss has a weight of 0: nothing minimises it."""
        weight = self.weights[loss]
        return weight.entry.name == "constant" and weight.params["value"] == 0
