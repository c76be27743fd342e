"""The planner: it resolves the names that losses read, and orders the computation of tensors.

Two requests are the same tensor when they are the same function of the same things at the same versions of the
networks; a network's version goes up when a phase trains it. Phases and aliases are known before the run, so the
whole iteration is planned in advance, as a compiler eliminates common subexpressions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from i2i_core.errors import Mark, Problem, RecipeError, did_you_mean, noted
from i2i_core.interfaces import Schedule
from i2i_core.plan.tensors import BUILTIN, RANDOM, Arguments, Definition, Node, below, reached

if TYPE_CHECKING:
    from i2i_core.plan.values import Values


@dataclass(frozen=True)
class RequestedTerm:
    """A loss of a phase before planning."""

    name: str
    loss: Definition
    weight: Schedule
    every: int = 1
    """The period n: the loss is computed at every n-th step, and multiplied by n."""
    where: Mapping[str, str] | None = None
    """The aliases of this loss alone."""


Nodes = dict[tuple[object, ...], Node]
"""The nodes of an iteration, by what they are made of."""


@dataclass(frozen=True)
class Request:
    """A phase before planning: the networks it trains, its aliases and its losses."""

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
        """Return True if the loss is computed at this step."""
        return step % self.every == 0

    def loss(self, values: Values) -> Any:
        """Compute the loss from the values of its arguments."""
        arguments = values.of(self.arguments)
        with noted(f"in the loss {self.name} of phase {self.phase}", self.mark, arguments):
            return self.call(**arguments)


@dataclass(frozen=True)
class PlannedPhase:
    """A planned phase: its losses, and the tensors to compute, in order, to reuse, and to release after it."""

    name: str
    trains: tuple[str, ...]
    terms: tuple[PlannedTerm, ...]
    compute: tuple[Node, ...]
    reuse: tuple[Node, ...]
    release: tuple[Node, ...]

    @property
    def fields(self) -> set[str]:
        """Names of the batch fields that it reads and no earlier phase has read."""
        return {node.name for node in self.compute if node.kind == "field"}


@dataclass(frozen=True)
class PlannedTensors:
    """Named tensors to compute outside training, with the node of each."""

    arguments: Arguments

    @property
    def nodes(self) -> list[Node]:
        """The nodes of all tensors that they need, themselves included, in order of computation."""
        return below(self.arguments)

    @property
    def fields(self) -> set[str]:
        """Names of the batch fields that they depend on."""
        return {node.name for node in self.nodes if node.kind == "field"}


class Unresolved(Exception):
    """Error for the last name of `chain`, which is undefined or (`cycle`) needs itself."""

    def __init__(self, chain: Sequence[str], cycle: bool = False) -> None:
        self.chain, self.cycle = list(chain), cycle
        super().__init__(" -> ".join(chain))


class Planner:
    """A planner of iterations and of single tensors. A definition hides a batch field of the same name."""

    def __init__(
        self, definitions: Mapping[str, Definition], networks: Collection[str], fields: Collection[str]
    ) -> None:
        self.definitions, self.networks, self.fields = definitions, networks, fields

    def names(self) -> set[str]:
        """Return all names that are defined."""
        return {*self.definitions, *self.networks, *self.fields, *BUILTIN}

    def tensors(self, names: Collection[str], where: Mapping[str, str] | None = None) -> PlannedTensors:
        """Plan named tensors under the aliases `where`. Raises Unresolved for the first undefined name."""
        asked = Definition("", lambda: None, {name: name for name in names})
        return PlannedTensors(_Resolver(self, where or {}, Counter(), {}).arguments(asked, ("",)))

    def tensors_for(self, names: Collection[str], phase: str | None, where: Mapping[str, str]) -> PlannedTensors:
        """Plan named tensors as `tensors` does. Raises RecipeError that names the undefined tensor and the phase."""
        try:
            return self.tensors(names, where)
        except Unresolved as error:
            name = error.chain[-1]
            how = f"under the aliases of phase {phase}" if phase else "without the aliases of a phase"
            raise RecipeError(
                [Problem(f"nothing makes the tensor {name} {how}", hint=did_you_mean(name, self.names()))]
            ) from None

    def iteration(self, requests: Sequence[Request], share: bool = True) -> list[PlannedPhase]:
        """Plan one iteration. Raises Unresolved for the first undefined name.

        share: let a phase reuse tensors of earlier phases; otherwise each phase computes its own.
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
    """A resolver of names to nodes, under the aliases of one loss and at the current versions of the networks."""

    def __init__(self, planner: Planner, where: Mapping[str, str], versions: Mapping[str, int], nodes: Nodes) -> None:
        self.planner, self.where, self.versions, self.nodes = planner, where, versions, nodes
        self.names = planner.names()
        self.found: dict[str, Node] = {}

    def arguments(self, definition: Definition, chain: tuple[str, ...]) -> Arguments:
        """Return the node of each argument of `definition`. Raises Unresolved.

        chain: names of the tensors that led here, from the loss down.
        """
        found = []
        for argument, name in definition.reads.items():
            alias = _follow(name, self.where)
            if alias == definition.name:
                alias = name  # a tensor that replaces another may read it
            if argument in definition.optional and alias not in self.names:
                continue
            if name == definition.name and (definition.replaces is not None or name in self.planner.fields):
                node = self._make(name, definition.replaces, (*chain, name))  # the tensor that it replaces
            elif alias in BUILTIN and alias not in self.planner.definitions:
                reader = definition.name if alias in RANDOM else alias  # every reader draws numbers of its own
                node = self._interned(Node(reader, alias))
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
        """Return the first node that equals `made`."""
        return self.nodes.setdefault((made.name, made.kind, made.definition, made.version, made.arguments), made)


def _follow(name: str, where: Mapping[str, str]) -> str:
    seen = {name}
    while name in where and where[name] not in seen:
        name = where[name]
        seen.add(name)
    return name
