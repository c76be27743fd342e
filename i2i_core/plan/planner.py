"""The planner: from the names that losses and uses ask for to the order in which tensors are computed.

Two requests are the same tensor when they are the same function of the same things at the same versions of the
networks; a network's version goes up when a phase trains it. Phases and aliases are known before the run, so the
whole iteration is planned like an expression with common subexpressions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from i2i_core.errors import Mark, Problem, RecipeError, did_you_mean, noted
from i2i_core.interfaces import Schedule
from i2i_core.plan.tensors import BUILTIN, Arguments, Definition, Node, below, reached

if TYPE_CHECKING:
    from i2i_core.plan.values import Values


@dataclass(frozen=True)
class RequestedTerm:
    """A loss of a phase before planning."""

    name: str
    loss: Definition
    weight: Schedule
    every: int = 1
    """The period: the loss is due every so many steps, and then so many times as strong."""
    where: Mapping[str, str] | None = None
    """The aliases of this loss alone."""


Nodes = dict[tuple[object, ...], Node]
"""The nodes of an iteration, by what they are made of."""


@dataclass(frozen=True)
class Request:
    """A phase before planning: what it trains, its aliases and its losses."""

    name: str
    trains: Sequence[str]
    where: Mapping[str, str]
    terms: Sequence[RequestedTerm]


@dataclass(frozen=True)
class PlannedTerm:
    """A loss of a phase with the node of each argument, its weight and its period."""

    name: str
    phase: str
    call: Callable[..., Any]
    arguments: Arguments
    weight: Schedule
    every: int
    mark: Mark | None = None

    def due(self, step: int) -> bool:
        """Whether the loss is computed at this step."""
        return step % self.every == 0

    def loss(self, values: Values) -> Any:
        """Compute the loss of the values of its arguments."""
        arguments = values.of(self.arguments)
        with noted(f"in the loss {self.name} of phase {self.phase}", self.mark, arguments):
            return self.call(**arguments)


@dataclass(frozen=True)
class PlannedPhase:
    """The tensors that a phase computes in order, the losses it minimises, and what may be forgotten after it."""

    name: str
    trains: tuple[str, ...]
    terms: tuple[PlannedTerm, ...]
    compute: tuple[Node, ...]
    reuse: tuple[Node, ...]
    release: tuple[Node, ...]

    @property
    def fields(self) -> set[str]:
        """The batch fields that it computes from, if no earlier phase did."""
        return {node.name for node in self.compute if node.kind == "field"}


@dataclass(frozen=True)
class PlannedTensors:
    """Named tensors that someone asks for, besides training: the node of each, by name."""

    arguments: Arguments

    @property
    def nodes(self) -> list[Node]:
        """All that they need, themselves included, each after what it needs."""
        return below(self.arguments)

    @property
    def fields(self) -> set[str]:
        """The batch fields that they depend on."""
        return {node.name for node in self.nodes if node.kind == "field"}


class Unresolved(Exception):
    """The name that ends `chain` has no meaning, or needs itself (`cycle`)."""

    def __init__(self, chain: Sequence[str], cycle: bool = False) -> None:
        self.chain, self.cycle = list(chain), cycle
        super().__init__(" -> ".join(chain))


class Planner:
    """Plans what phases train on and what uses of a model show. A definition wins over a batch field of its name."""

    def __init__(
        self, definitions: Mapping[str, Definition], networks: Collection[str], fields: Collection[str]
    ) -> None:
        self.definitions, self.networks, self.fields = definitions, networks, fields

    def names(self) -> set[str]:
        """All names that have a meaning."""
        return {*self.definitions, *self.networks, *self.fields, *BUILTIN}

    def tensors(self, names: Collection[str], where: Mapping[str, str] | None = None) -> PlannedTensors:
        """Plan named tensors under aliases; raises Unresolved for the first name without a meaning."""
        asked = Definition("", lambda: None, {name: name for name in names})
        return PlannedTensors(_Resolver(self, where or {}, Counter(), {}).arguments(asked, ("",)))

    def tensors_for(self, names: Collection[str], phase: str | None, where: Mapping[str, str]) -> PlannedTensors:
        """Plan named tensors as `tensors` does; raises RecipeError, which names the phase whose aliases hold."""
        try:
            return self.tensors(names, where)
        except Unresolved as error:
            name = error.chain[-1]
            how = f"under the aliases of phase {phase}" if phase else "without the aliases of a phase"
            raise RecipeError(
                [
                    Problem(
                        f"nothing makes the tensor {name}, which is asked for {how}",
                        hint=did_you_mean(name, self.names()),
                    )
                ]
            ) from None

    def iteration(self, requests: Sequence[Request], share: bool = True) -> list[PlannedPhase]:
        """Plan one iteration; raises Unresolved for the first name without a meaning.

        share: whether a phase uses what an earlier one computed; otherwise that is forgotten, and computed again.
        """
        versions, nodes = Counter[str](), Nodes()
        drafts = []
        for request in requests:
            nodes = nodes if share else {}
            terms = [self._term(term, request, versions, nodes) for term in request.terms]
            asked = [argument for term in terms for argument in term.arguments]
            for node in below(asked, through=request.trains):
                node.trains |= node.networks.intersection(request.trains)
            drafts.append((request, terms, [node for node in below(asked) if node.kind != "network"]))
            versions.update(request.trains)
        phases, done = [], set[Node]()
        for index, (request, terms, used) in enumerate(drafts):
            later = {node for _, _, others in drafts[index + 1 :] for node in others}
            phases.append(
                PlannedPhase(
                    request.name,
                    tuple(request.trains),
                    tuple(terms),
                    compute=tuple(n for n in used if n not in done),
                    reuse=tuple(n for n in used if n in done),
                    release=tuple(n for n in used if n not in later),
                )
            )
            done.update(used)
        return phases

    def _term(self, term: RequestedTerm, request: Request, versions: Mapping[str, int], nodes: Nodes) -> PlannedTerm:
        resolver = _Resolver(self, {**request.where, **(term.where or {})}, versions, nodes)
        arguments = resolver.arguments(term.loss, (f"{request.name}/{term.name}",))
        return PlannedTerm(term.name, request.name, term.loss.call, arguments, term.weight, term.every, term.loss.mark)


class _Resolver:
    """The meaning of names under the aliases of a term, at the versions that networks then have."""

    def __init__(self, planner: Planner, where: Mapping[str, str], versions: Mapping[str, int], nodes: Nodes) -> None:
        self.planner, self.where, self.versions, self.nodes = planner, where, versions, nodes
        self.names = planner.names()
        self.found: dict[str, Node] = {}

    def arguments(self, definition: Definition, chain: tuple[str, ...]) -> Arguments:
        """Return the node of each argument of `definition`; raises Unresolved. chain: who asks, the last one last."""
        found = []
        for argument, name in definition.reads.items():
            alias = _follow(name, self.where)
            if alias == definition.name:
                alias = name  # what stands in for a tensor may be made of it
            if argument in definition.optional and alias not in self.names:
                continue
            if name == definition.name and (definition.replaces is not None or name in self.planner.fields):
                node = self._make(name, definition.replaces, (*chain, name))  # what it stands in for
            elif alias in BUILTIN and alias not in self.planner.definitions:
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
            self.found[name] = self._make(name, self.planner.definitions.get(name), chain)
        return self.found[name]

    def _make(self, name: str, definition: Definition | None, chain: tuple[str, ...]) -> Node:
        if definition is not None:
            arguments = self.arguments(definition, chain)
            networks = frozenset() if definition.detached else reached(arguments)
            return self._interned(Node(name, "tensor", definition, 0, arguments, networks))
        if name in self.planner.networks:
            return self._interned(Node(name, "network", None, self.versions[name], (), frozenset([name])))
        if name in self.planner.fields:
            return self._interned(Node(name, "field"))
        raise Unresolved(chain[1:])

    def _interned(self, made: Node) -> Node:
        """Return the first node that was made of the same things."""
        return self.nodes.setdefault((made.name, made.kind, made.definition, made.version, made.arguments), made)


def _follow(name: str, where: Mapping[str, str]) -> str:
    seen = {name}
    while name in where and where[name] not in seen:
        name = where[name]
        seen.add(name)
    return name
