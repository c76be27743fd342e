"""The parts of an exported translation, each a named tensor as a function of arrays.

The translation is divided where the style enters. Separate parts compute each tensor that does not depend on the style
(content, masks), the style codes of each use, and the result. Outputs and inputs of the same name belong together. A
tensor of several arrays (a tuple or mapping) has one output for each, named after its place in it: `content.skips.32`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_unflatten

from i2i.translator import Translator
from i2i_core.errors import PluginError
from i2i_core.plan.tensors import RANDOM, Node, below
from i2i_core.plan.values import Values

EXAMPLES = 2
"""Samples in the example of a part: torch would treat a batch of one as a constant."""
DOMAINS = "indices of `domains`, from 0"
Known = Mapping[Node, tuple[str, Any]]
"""Tensors that other parts compute: the name of their arrays, and an example."""


class ProgramPart(nn.Module):
    """A named tensor of a model as a function of named arrays, with the batch first, on the CPU.

    `part({"x_real": x})` returns `{"content.features": ..., "content.skips.32": ...}`.
    """

    def __init__(self, model: Translator, file: str, name: str, node: Node, known: Known) -> None:
        """Build a part. file: the name of the part; name: the name of its output arrays."""
        super().__init__()
        self.file, self.name, self._node, self._draws = file, name, node, model._draws(0, EXAMPLES)
        nodes = _needed(node, known)
        self._networks = nn.ModuleDict({n.name: model.networks[n.name] for n in nodes if n.kind == "network"})
        self._tensors = nn.ModuleList(
            n.definition.call for n in nodes if n.definition and isinstance(n.definition.call, nn.Module)
        )
        self._random = [n for n in nodes if n.random]
        self._step = model._constants["step"]
        self._known: dict[Node, Callable[[Mapping[str, Tensor]], Any]] = {}
        self.example: dict[str, Tensor] = {}
        """An example of its input arrays."""
        self.holds: dict[str, str] = {}
        """The contents of those inputs that no other part computes."""
        for n in nodes:
            if n in known:
                arrays, self._known[n] = flat(*known[n])
                self.example |= {
                    name: array.clone() for name, array in arrays.items()
                }  # without clones, equal arrays would be one input
            elif n.kind == "field":
                layout = model.layouts.get(n.name)
                self.holds[n.name] = DOMAINS if layout is None else _holds(model, n.name)
                self.example[n.name] = (
                    torch.arange(EXAMPLES) % len(model.domains)
                    if layout is None
                    else layout.examples(EXAMPLES, torch.float32)
                )
            elif n.random:
                self.holds[_array(n)] = f"random numbers from {RANDOM[n.kind]}"
        self.eval()
        self.value = self._compute(self.example)
        """The value of the tensor for the example."""
        self.gives = flat(name, self.value)[0]
        """The output arrays for the example."""

    def forward(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        return flat(self.name, self._compute(arrays))[0]

    @torch.no_grad()
    def _compute(self, arrays: dict[str, Tensor]) -> Any:
        values = Values({**dict(self._networks.items()), **arrays, "step": self._step}, self._draws)
        values.update({node: partial(_numbers, arrays, node) for node in self._random})
        values.update({node: made_of(arrays) for node, made_of in self._known.items()})
        return values[self._node]


def _array(node: Node) -> str:
    """Return the name of the input array of random numbers: that of the tensor which reads them."""
    return node.name if node.kind == "normal" else f"{node.name}.{node.kind}"  # it may read both kinds


def _numbers(arrays: dict[str, Tensor], node: Node, *shape: int) -> Tensor:
    """Return the random numbers of a node: an input array, or a new example of it."""
    name, example = _array(node), torch.randn if node.kind == "normal" else torch.rand
    if name not in arrays:
        arrays[name] = example(EXAMPLES, *shape)
    return arrays[name]


def _holds(model: Translator, field: str) -> str:
    """Describe the numbers of a batch field: its format, and their range."""
    low, high = model.layouts[field].format.limits
    return f"{model.model.config.layouts[field].format.use} from {low:g} to {high:g}"


def parts(model: Translator) -> dict[str, list[ProgramPart]]:
    """Return the parts of each use, in the order in which to run them."""
    contents: dict[str, ProgramPart] = {}
    shown: dict[tuple[object, ...], ProgramPart] = {}
    found: dict[str, list[ProgramPart]] = {}
    for use in model.uses.values():
        show = use.use.show
        styles = [ProgramPart(model, node.name, alias, node, {}) for alias, node in use.codes.items()]
        changed = use.of_style
        known: dict[Node, tuple[str, Any]] = {
            node: (alias, style.value) for (alias, node), style in zip(use.codes.items(), styles, strict=True)
        }
        content = []
        for node in _read_by(changed):
            if node.name not in contents:
                contents[node.name] = ProgramPart(model, node.name, node.name, node, {})
            content.append(contents[node.name])
            known[node] = node.name, contents[node.name].value
        others = sorted((alias, name) for alias, name in use.use.where.items() if alias not in use.codes)
        one = show, tuple(use.codes), tuple(others)
        if one not in shown:
            ((_, node),) = use.planned.arguments
            shown[one] = ProgramPart(model, f"{show}-{use.name}" if shown else show, show, node, known)
        found[use.name] = [*styles, *content, shown[one]]
    return found


def _read_by(nodes: list[Node]) -> list[Node]:
    """List the tensors outside `nodes` that `nodes` read and that depend on a picture."""
    read = {argument: None for node in nodes for _, argument in node.arguments if argument not in nodes}
    return [n for n in read if n.kind == "tensor" and any(m.kind == "field" for m in below([("", n)]))]


def _needed(node: Node, known: Known) -> list[Node]:
    """List the nodes from which `node` is computed, given those in `known`."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found:
            for _, argument in node.arguments if node not in known else ():
                visit(argument)
            found[node] = None

    visit(node)
    return list(found)


def flat(name: str, value: Any) -> tuple[dict[str, Tensor], Callable[[Mapping[str, Tensor]], Any]]:
    """Return the arrays of a tensor by name, and a function from arrays to the tensor; raises PluginError."""
    leaves, spec = tree_flatten_with_path(value)
    named = {".".join([name, *re.findall(r"\w+", keystr(path))]): leaf for path, leaf in leaves}
    for leaf in named.values():
        if not isinstance(leaf, Tensor | int | float | str | None):
            raise PluginError(
                f"the tensor {name} cannot be exported: it contains a {type(leaf).__name__}, and only tensors, "
                f"numbers, strings, and tuples, lists and dicts of these can be exported"
            )
    arrays = {name: leaf for name, leaf in named.items() if isinstance(leaf, Tensor)}
    return arrays, lambda given: tree_unflatten([given.get(name, leaf) for name, leaf in named.items()], spec)
