"""Named tensors: small functions whose argument names say what they are made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from i2i_core.errors import Mark
from i2i_core.registry.signatures import call_arguments
from i2i_core.registry.specs import Spec

BUILTIN = ("normal",)
"""The names of what every tensor may ask for: random numbers."""


@dataclass(frozen=True, eq=False)
class Definition:
    """A named tensor before planning: a callable and, per argument, the name it reads."""

    name: str
    call: Callable[..., Any]
    reads: Mapping[str, str]
    optional: Collection[str] = ()
    detached: bool = False
    replaces: Definition | None = None
    """The meaning of the name before this definition: what the definition itself gets when it reads its own name."""
    mark: Mark | None = None
    """The place in the recipe that says it, or names its method."""


def define(name: str, call: Callable[..., Any], mark: Mark | None = None) -> Definition:
    """Define `name` by `call`, whose argument names are what it reads."""
    wants, optional = call_arguments(call)
    return Definition(name, call, {w: w for w in wants}, optional, getattr(call, "detached", False), mark=mark)


def define_component(name: str, spec: Spec, call: Callable[..., Any], replaces: Definition | None = None) -> Definition:
    """Define `name` by a component of the recipe; call: what was built of it, or what stands for that in a plan."""
    return Definition(name, call, spec.reads, spec.optional, getattr(call, "detached", False), replaces, spec.mark)


def define_unknown(name: str) -> Definition:
    """Define a tensor of which only the name is known."""
    return Definition(name, lambda: None, {})


def method_tensors(module: ModuleType, mark: Mark | None = None) -> dict[str, Definition]:
    """Return a method's page: every public function defined in `module`; mark: where the recipe names the method."""
    return {
        name: define(name, f, mark)
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if f.__module__ == module.__name__ and not name.startswith("_") and not hasattr(f, "i2i_impl")
    }


def definitions(
    method: Mapping[str, Definition], tensors: Mapping[str, Spec], calls: Mapping[str, Callable[..., Any]] | None = None
) -> dict[str, Definition]:
    """Return a method's tensors, with a recipe's in place of those of the same name."""
    found = dict(method)
    for name, spec in tensors.items():
        found[name] = define_component(name, spec, (calls or {}).get(name, spec.target), found.get(name))
    return found


@dataclass(eq=False)
class Node:
    """A planned tensor, network or batch field: the same node wherever it is the same value."""

    name: str
    kind: str
    definition: Definition | None = None
    version: int = 0
    arguments: tuple[tuple[str, Node], ...] = ()
    networks: frozenset[str] = frozenset()
    """The networks that a gradient from here can reach."""
    trains: set[str] = field(default_factory=set)
    """Those of them that a phase trains by a gradient from here."""
    asked_by: list[str] = field(default_factory=list)

    @property
    def graph(self) -> bool:
        """Whether it is computed with a graph."""
        return self.kind == "tensor" and bool(self.trains)


Arguments = tuple[tuple[str, Node], ...]
"""The node of each argument of a call, by the argument's name."""


def below(arguments: Iterable[tuple[str, Node]], through: Collection[str] | None = None) -> list[Node]:
    """Return every node that `arguments` need, themselves included, each after what it needs.

    through: only nodes that a gradient to one of these networks passes.
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
