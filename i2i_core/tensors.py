"""Named tensors: small functions resolved by argument name, planned once, computed at most once per iteration.

Two requests are the same tensor when they are the same function of the same things at the same versions of the
networks; a network's version goes up when a phase trains it. Phases and aliases are known before the run, so the
whole iteration is planned like an expression with common subexpressions. A tensor has a graph if a phase that
differentiates it trains a network it depends on; otherwise it is computed without one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

from i2i_core.components import call_arguments

F = TypeVar("F", bound=Callable[..., Any])
BUILTIN = ("normal",)


def detached(function: F) -> F:
    """Mark a tensor through which no gradient flows: it and what only it uses are computed without a graph."""
    function.__dict__["detached"] = True
    return function


@dataclass(frozen=True, eq=False)
class Definition:
    """A named tensor before planning: a callable and, per argument, the name it reads."""

    name: str
    call: Callable[..., Any]
    reads: Mapping[str, str]
    optional: Collection[str] = ()
    detached: bool = False
    replaces: Definition | None = None
    """What the name meant before this definition: what the definition itself gets when it reads its own name."""


def define(name: str, call: Callable[..., Any], renamed: Mapping[str, str] | None = None,
           replaces: Definition | None = None) -> Definition:
    """The definition of `name` by `call`, whose argument names are what it reads unless renamed."""
    wants, optional = call_arguments(call)
    return Definition(name, call, {w: (renamed or {}).get(w, w) for w in wants}, optional,
                      getattr(call, "detached", False), replaces)


def method_tensors(module: ModuleType) -> dict[str, Definition]:
    """A method's page: every public function defined in `module`."""
    return {name: define(name, f) for name, f in inspect.getmembers(module, inspect.isfunction)
            if f.__module__ == module.__name__ and not name.startswith("_") and not hasattr(f, "i2i_impl")}


@dataclass(eq=False)
class Node:
    """A planned tensor, network or batch field: the same node wherever it is the same value."""

    name: str
    kind: str
    definition: Definition | None = None
    version: int = 0
    arguments: tuple[tuple[str, Node], ...] = ()
    networks: frozenset[str] = frozenset()
    graph: bool = False
    last_phase: int = 0
    asked_by: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PlannedTerm:
    """A loss of a phase with the node of each argument."""

    name: str
    call: Callable[..., Any]
    arguments: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class PlannedPhase:
    """What a phase computes in order, what it minimises, and what may be forgotten after it."""

    name: str
    trains: tuple[str, ...]
    terms: tuple[PlannedTerm, ...]
    compute: tuple[Node, ...]
    reuse: tuple[Node, ...]
    release: tuple[Node, ...]


@dataclass(frozen=True)
class Request:
    """A phase before planning; each term is (name, its loss as a definition, its own aliases)."""

    name: str
    trains: Sequence[str]
    where: Mapping[str, str]
    terms: Sequence[tuple[str, Definition, Mapping[str, str]]]


class Unresolved(Exception):
    """A name that nothing provides (`missing`), or that needs itself (`cycle`)."""

    def __init__(self, chain: Sequence[str], cycle: bool = False) -> None:
        self.chain, self.cycle = list(chain), cycle
        super().__init__(" -> ".join(chain))


class Scope:
    """What names mean: definitions, networks and batch fields; a definition wins over a batch field."""

    def __init__(self, definitions: Mapping[str, Definition], networks: Collection[str],
                 fields: Collection[str]) -> None:
        self.definitions, self.networks, self.fields = definitions, frozenset(networks), frozenset(fields)
        self._nodes: dict[Any, Node] = {}

    def names(self) -> set[str]:
        return {*self.definitions, *self.networks, *self.fields, *BUILTIN}

    def resolver(self, where: Mapping[str, str], versions: Mapping[str, int]) -> _Resolver:
        """What names become under the aliases of a phase, at the versions that networks then have."""
        return _Resolver(self, where, versions)

    def intern(self, key: Any, made: Node) -> Node:
        """The node of this key: the first that was made."""
        return self._nodes.setdefault(key, made)


class _Resolver:
    """Names to nodes, each name once."""

    def __init__(self, scope: Scope, where: Mapping[str, str], versions: Mapping[str, int]) -> None:
        self.scope, self.where, self.versions = scope, where, versions
        self.found: dict[Any, Node] = {}

    def arguments(self, definition: Definition, asker: str,
                  chain: tuple[str, ...] = ()) -> tuple[tuple[str, Node], ...]:
        """The node of each argument of `definition`; raises Unresolved. `chain` is what led here."""
        found = []
        for argument, name in definition.reads.items():
            alias = _follow(name, self.where)
            if argument in definition.optional and alias not in self.scope.names():
                continue
            if name == definition.name and (definition.replaces is not None or name in self.scope.fields):
                node = self._make(name, definition.replaces, definition, (*chain, name))  # what it stands in for
            else:
                node = self._named(alias, definition, (*chain, alias))
            if asker not in node.asked_by:
                node.asked_by.append(asker)
            found.append((argument, node))
        return tuple(found)

    def _named(self, name: str, reader: Definition, chain: tuple[str, ...]) -> Node:
        key = (name, reader.name) if name in BUILTIN else name
        if key not in self.found:
            if name in chain[:-1]:
                raise Unresolved(chain, cycle=True)
            self.found[key] = self._make(name, self.scope.definitions.get(name), reader, chain)
        return self.found[key]

    def _make(self, name: str, definition: Definition | None, reader: Definition, chain: tuple[str, ...]) -> Node:
        key: Any = name
        if definition is not None:
            arguments = self.arguments(definition, name, chain)
            key = (definition, tuple((a, id(n)) for a, n in arguments))
            below = frozenset[str]() if definition.detached else frozenset().union(*(n.networks for _, n in arguments))
            made = Node(name, "tensor", definition, 0, arguments, below)
        elif name in self.scope.networks:
            key = (name, self.versions.get(name, 0))
            made = Node(name, "network", None, self.versions.get(name, 0), (), frozenset([name]))
        elif name in BUILTIN:
            key = (name, reader.name)
            made = Node(reader.name, name)
        elif name in self.scope.fields:
            made = Node(name, "field")
        else:
            raise Unresolved(chain)
        return self.scope.intern(key, made)


def _follow(name: str, where: Mapping[str, str]) -> str:
    seen = {name}
    while name in where and where[name] not in seen:
        name = where[name]
        seen.add(name)
    return name


def plan(scope: Scope, requests: Sequence[Request]) -> list[PlannedPhase]:
    """Plan one iteration; raises Unresolved for the first name without a meaning."""
    versions: dict[str, int] = {}
    drafts = []
    for index, request in enumerate(requests):
        planned = []
        for name, loss, own_where in request.terms:
            resolver = scope.resolver({**request.where, **own_where}, versions)
            arguments = resolver.arguments(loss, f"{request.name}/{name}")
            planned.append(PlannedTerm(name, loss.call, arguments))
            for _, node in arguments:
                _mark_graph(node, frozenset(request.trains))
        used = below(argument for term in planned for argument in term.arguments)
        for node in used:
            node.last_phase = index
        drafts.append((request, tuple(planned), used))
        for network in request.trains:
            versions[network] = versions.get(network, 0) + 1
    phases, done = [], set[Node]()
    for index, (request, terms, used) in enumerate(drafts):
        tensors = [n for n in used if n.kind != "network"]
        phases.append(PlannedPhase(
            request.name, tuple(request.trains), terms,
            compute=tuple(n for n in tensors if n not in done), reuse=tuple(n for n in tensors if n in done),
            release=tuple(n for n in tensors if n.last_phase == index)))
        done.update(tensors)
    return phases


def _mark_graph(node: Node, trained: frozenset[str]) -> None:
    """`node` is differentiated in a phase that trains `trained`: it and what it comes from need a graph."""
    waiting, seen = [node], set[Node]()
    while waiting:
        node = waiting.pop()
        if node.kind == "tensor" and node not in seen and node.networks & trained:
            seen.add(node)
            node.graph = True
            waiting += [argument for _, argument in node.arguments]


def below(arguments: Iterable[tuple[str, Node]]) -> list[Node]:
    """Every node that `arguments` need, themselves included, each after what it needs."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found:
            for _, argument in node.arguments:
                visit(argument)
            found[node] = None

    for _, node in arguments:
        visit(node)
    return list(found)


def reached(arguments: Iterable[tuple[str, Node]]) -> frozenset[str]:
    """Networks that a gradient from `arguments` can reach."""
    return frozenset[str]().union(*(node.networks for _, node in arguments))
