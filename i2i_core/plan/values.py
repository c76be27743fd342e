"""The values of planned tensors, each computed on first access."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from i2i_core.errors import noted
from i2i_core.plan.draws import Draws
from i2i_core.plan.tensors import Node

Parameters = Mapping[str, Sequence[nn.Parameter]]
"""The parameters that can be trained, by network."""


class freezing:
    """A context manager that freezes parameters: computations in it give them no gradient."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = parameters

    def __enter__(self) -> None:
        self.frozen = [p for p in self.parameters if p.requires_grad]
        for p in self.frozen:
            p.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for p in self.frozen:
            p.requires_grad_(True)


class Values(dict[Node, Any]):
    """The values of an iteration by node.

    A tensor is computed with a graph if a phase that differentiates it trains a network that it depends on. All other
    networks are frozen meanwhile, so that no activations are stored for gradients that are not needed.
    """

    def __init__(self, given: Mapping[str, object], draws: Draws, parameters: Parameters | None = None) -> None:
        """given: networks, batch fields and the `step`, by name. parameters: those to freeze in networks that are not
        trained."""
        super().__init__()
        self.given, self.draws, self.parameters = given, draws, parameters or {}

    def of(self, arguments: Iterable[tuple[str, Node]]) -> dict[str, Any]:
        """Return the arguments of a call, by name."""
        return {name: self[node] for name, node in arguments}

    def __missing__(self, node: Node) -> Any:
        if node.definition is not None:
            arguments = self.of(node.arguments)
            where = f"in the tensor {node.name}"
            with noted(where, node.definition.mark, arguments), self._graph(node):
                self[node] = node.definition.call(**arguments)
        elif node.random:
            self[node] = self.draws.of(node.kind, node.name)
        else:
            self[node] = self.given[node.name]
        return self[node]

    @contextmanager
    def _graph(self, node: Node) -> Iterator[None]:
        """Enable the graph only if a phase needs it, and freeze the networks that are not trained through it."""
        called = [network.name for _, network in node.arguments if network.kind == "network"]
        frozen = [p for name in called if node.graph and name not in node.trains for p in self.parameters.get(name, ())]
        with torch.set_grad_enabled(node.graph), freezing(frozen):
            yield
