"""Named tensors: functions whose argument names are the tensors, networks and batch fields that they read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from i2i_core.errors import Mark
from i2i_core.registry.signatures import call_arguments
from i2i_core.registry.specs import Spec

RANDOM = {"normal": "N(0, 1)", "uniform": "U[0, 1)"}
"""The distribution of the random numbers that a built-in argument provides, by the argument's name."""
BUILTIN = (*RANDOM, "step")
"""Names of the built-in arguments: random numbers, and the number of finished iterations."""


@dataclass(frozen=True, eq=False)
class Definition:
    """A named tensor before planning: a callable and, per argument, the name it reads."""

    name: str
    call: Callable[..., Any]
    reads: Mapping[str, str]
    optional: Collection[str] = ()
    detached: bool = False
    replaces: Definition | None = None
    """The definition that this one replaces; this one gets its value when it reads its own name."""
    mark: Mark | None = None
    """The place in the recipe of the tensor, or of its method."""


def define(name: str, call: Callable[..., Any], mark: Mark | None = None) -> Definition:
    """Define the tensor `name` by the function `call`; its argument names are the names that it reads."""
    wants, optional = call_arguments(call)
    return Definition(name, call, {w: w for w in wants}, optional, getattr(call, "detached", False), mark=mark)


def define_component(name: str, spec: Spec, call: Callable[..., Any], replaces: Definition | None = None) -> Definition:
    """Define `name` by a component of the recipe. call: the built component, or its target if it is only planned."""
    return Definition(name, call, spec.reads, spec.optional, getattr(call, "detached", False), replaces, spec.mark)


def define_unknown(name: str) -> Definition:
    """Define a tensor of which only the name is known."""
    return Definition(name, lambda: None, {})


def method_tensors(module: ModuleType, mark: Mark | None = None) -> dict[str, Definition]:
    """Return the tensors of a method: all public functions of `module`. mark: the place of the method in the recipe."""
    return {
        name: define(name, f, mark)
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if f.__module__ == module.__name__ and not name.startswith("_") and not hasattr(f, "i2i_impl")
    }


def definitions(
    method: Mapping[str, Definition], tensors: Mapping[str, Spec], calls: Mapping[str, Callable[..., Any]] | None = None
) -> dict[str, Definition]:
    """Return the tensors of a method and of a recipe. Those of the recipe replace those with the same name."""
    found = dict(method)
    for name, spec in tensors.items():
        found[name] = define_component(name, spec, (calls or {}).get(name, spec.target), found.get(name))
    return found


@dataclass(eq=False)
class Node:
    """A planned tensor, network, batch field or built-in argument. Equal values share one node."""

    name: str
    kind: str
    definition: Definition | None = None
    version: int = 0
    arguments: tuple[tuple[str, Node], ...] = ()
    networks: frozenset[str] = frozenset()
    """Networks that a gradient from this node can reach."""
    trains: set[str] = field(default_factory=set)
    """The ones among them that a phase trains by a gradient from this node."""
    asked_by: list[str] = field(default_factory=list)

    @property
    def graph(self) -> bool:
        """True if the tensor is computed with an autograd graph."""
        return self.kind == "tensor" and bool(self.trains)

    @property
    def random(self) -> bool:
        """True if it provides random numbers."""
        return self.kind in RANDOM


Arguments = tuple[tuple[str, Node], ...]
"""The node of each argument of a call, by the argument's name."""


def below(arguments: Iterable[tuple[str, Node]], through: Collection[str] | None = None) -> list[Node]:
    """Return all nodes that `arguments` need, themselves included, in order of computation.

    through: restrict the result to nodes on a gradient's way to one of these networks.
    """
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found and (through is None or not node.networks.isdisjoint(through)):
            for _, argument in node.arguments:
                visit(argument)
            found[node] = None

    for _, node in arguments:
        visit(node)
    return list(found)


def reached(arguments: Iterable[tuple[str, Node]]) -> frozenset[str]:
    """Return the networks that a gradient from `arguments` can reach."""
    return frozenset[str]().union(*(node.networks for _, node in arguments))
