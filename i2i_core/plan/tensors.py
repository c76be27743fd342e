"""Named tensors: small functions resolved by argument name, planned once, computed at most once per iteration.

Two requests are the same tensor when they are the same function of the same things at the same versions of the
networks; a network's version goes up when a phase trains it. Phases and aliases are known before the run, so the
whole iteration is planned like an expression with common subexpressions. A tensor has a graph if a phase that
differentiates it trains a network it depends on, and of its networks only those are in it: the others are frozen while
it is computed, so that nothing is kept for gradients that no one wants.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

import torch

from i2i_core.errors import Mark, noted
from i2i_core.plan.draws import Draws
from i2i_core.registry.signatures import call_arguments
from i2i_core.training.compute import freezing

F = TypeVar("F", bound=Callable[..., Any])
Parameters = Mapping[str, Sequence[torch.nn.Parameter]]
"""The parameters that can be trained, by network."""
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
    mark: Mark | None = None
    """Where the recipe says it, or names its method."""


def define(name: str, call: Callable[..., Any], replaces: Definition | None = None,
           mark: Mark | None = None) -> Definition:
    """The definition of `name` by `call`, whose argument names are what it reads."""
    wants, optional = call_arguments(call)
    return Definition(name, call, {w: w for w in wants}, optional, getattr(call, "detached", False), replaces, mark)


def method_tensors(module: ModuleType, mark: Mark | None = None) -> dict[str, Definition]:
    """A method's page: every public function defined in `module`; mark: where the recipe names the method."""
    return {name: define(name, f, mark=mark) for name, f in inspect.getmembers(module, inspect.isfunction)
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
    """Those that a gradient from here can reach."""
    trains: set[str] = field(default_factory=set)
    """Those of them that a phase trains by a gradient from here."""
    asked_by: list[str] = field(default_factory=list)

    @property
    def graph(self) -> bool:
        """Whether it is computed with a graph."""
        return self.kind == "tensor" and bool(self.trains)


@dataclass(frozen=True)
class PlannedTerm:
    """A loss of a phase with the node of each argument."""

    name: str
    phase: str
    call: Callable[..., Any]
    arguments: tuple[tuple[str, Node], ...]
    mark: Mark | None = None

    def loss(self, values: Values) -> Any:
        """What it makes of the values of its arguments."""
        arguments = values.of(self.arguments)
        with noted(f"in the loss {self.name} of phase {self.phase}", self.mark, arguments):
            return self.call(**arguments)


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
    """The name that ends `chain`, which nothing provides, or which needs itself (`cycle`)."""

    def __init__(self, chain: Sequence[str], cycle: bool = False) -> None:
        self.chain, self.cycle = list(chain), cycle
        super().__init__(" -> ".join(chain))


@dataclass(frozen=True)
class Scope:
    """What names mean: definitions, networks and batch fields; a definition wins over a batch field."""

    definitions: Mapping[str, Definition]
    networks: Collection[str]
    fields: Collection[str]

    def names(self) -> set[str]:
        return {*self.definitions, *self.networks, *self.fields, *BUILTIN}


class _Resolver:
    """What names become under the aliases of a term, at the versions that networks then have."""

    def __init__(self, scope: Scope, where: Mapping[str, str], versions: Mapping[str, int],
                 nodes: dict[Any, Node]) -> None:
        self.scope, self.where, self.versions, self.nodes = scope, where, versions, nodes
        self.found: dict[str, Node] = {}

    def arguments(self, definition: Definition, chain: tuple[str, ...]) -> tuple[tuple[str, Node], ...]:
        """The node of each argument of `definition`; raises Unresolved. `chain` is what led here, who asks last."""
        found = []
        for argument, name in definition.reads.items():
            alias = _follow(name, self.where)
            if alias == definition.name:
                alias = name  # what stands in for a tensor may be made of it
            if argument in definition.optional and alias not in self.scope.names():
                continue
            if name == definition.name and (definition.replaces is not None or name in self.scope.fields):
                node = self._make(name, definition.replaces, (*chain, name))  # what it stands in for
            elif alias in BUILTIN and alias not in self.scope.definitions:
                node = self._interned(Node(definition.name, alias))  # every reader draws numbers of its own
            else:
                node = self._named(alias, (*chain, alias))
            if chain[-1] not in node.asked_by:
                node.asked_by.append(chain[-1])
            found.append((argument, node))
        return tuple(found)

    def _named(self, name: str, chain: tuple[str, ...]) -> Node:
        if name not in self.found:
            if name in chain[:-1]:
                raise Unresolved(chain[1:], cycle=True)
            self.found[name] = self._make(name, self.scope.definitions.get(name), chain)
        return self.found[name]

    def _make(self, name: str, definition: Definition | None, chain: tuple[str, ...]) -> Node:
        if definition is not None:
            arguments = self.arguments(definition, chain)
            networks = frozenset() if definition.detached else reached(arguments)
            return self._interned(Node(name, "tensor", definition, 0, arguments, networks))
        if name in self.scope.networks:
            return self._interned(Node(name, "network", None, self.versions[name], (), frozenset([name])))
        if name in self.scope.fields:
            return self._interned(Node(name, "field"))
        raise Unresolved(chain[1:])

    def _interned(self, made: Node) -> Node:
        """The first node that was made of the same things."""
        return self.nodes.setdefault((made.name, made.kind, made.definition, made.version, made.arguments), made)


def _follow(name: str, where: Mapping[str, str]) -> str:
    seen = {name}
    while name in where and where[name] not in seen:
        name = where[name]
        seen.add(name)
    return name


def plan(scope: Scope, requests: Sequence[Request], share: bool = True) -> list[PlannedPhase]:
    """Plan one iteration; raises Unresolved for the first name without a meaning.

    share: whether a phase uses what an earlier one computed; otherwise it is forgotten in between, and computed again.
    """
    versions, nodes = Counter[str](), dict[Any, Node]()
    drafts = []
    for request in requests:
        terms = []
        nodes = nodes if share else {}
        for name, loss, where in request.terms:
            resolver = _Resolver(scope, {**request.where, **where}, versions, nodes)
            arguments = resolver.arguments(loss, (f"{request.name}/{name}",))
            terms.append(PlannedTerm(name, request.name, loss.call, arguments, loss.mark))
        asked = [argument for term in terms for argument in term.arguments]
        for node in below(asked, through=request.trains):
            node.trains |= node.networks.intersection(request.trains)
        drafts.append((request, terms, [node for node in below(asked) if node.kind != "network"]))
        versions.update(request.trains)
    phases, done = [], set[Node]()
    for index, (request, terms, used) in enumerate(drafts):
        later = {node for _, _, others in drafts[index + 1 :] for node in others}
        phases.append(PlannedPhase(
            request.name, tuple(request.trains), tuple(terms),
            compute=tuple(n for n in used if n not in done), reuse=tuple(n for n in used if n in done),
            release=tuple(n for n in used if n not in later)))
        done.update(used)
    return phases


def below(arguments: Iterable[tuple[str, Node]], through: Collection[str] | None = None) -> list[Node]:
    """Every node that `arguments` need, themselves included, each after what it needs.

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
    """Networks that a gradient from `arguments` can reach."""
    return frozenset[str]().union(*(node.networks for _, node in arguments))


class Values(dict[Node, Any]):
    """The values of an iteration, each computed when it is first asked for."""

    def __init__(self, given: Mapping[str, Any], draws: Draws, parameters: Parameters | None = None) -> None:
        """given: networks and batch fields by name; parameters: what to freeze where a network is not trained."""
        super().__init__()
        self.given, self.draws, self.parameters = given, draws, parameters or {}

    def of(self, arguments: Iterable[tuple[str, Node]]) -> dict[str, Any]:
        """What a tensor function or a loss is called with."""
        return {name: self[node] for name, node in arguments}

    def __missing__(self, node: Node) -> Any:
        if node.definition is not None:
            arguments = self.of(node.arguments)
            where = f"in the tensor {node.name}"
            with noted(where, node.definition.mark, arguments), self._graph(node):
                self[node] = node.definition.call(**arguments)
        elif node.kind == "normal":
            self[node] = self.draws.normal(node.name)
        else:
            self[node] = self.given[node.name]
        return self[node]

    @contextmanager
    def _graph(self, node: Node) -> Iterator[None]:
        """A graph only where a phase needs one, and in it only the networks that are trained through it."""
        called = [network.name for _, network in node.arguments if network.kind == "network"]
        frozen = [p for name in called if node.graph and name not in node.trains for p in self.parameters.get(name, ())]
        with torch.set_grad_enabled(node.graph), freezing(frozen):
            yield
