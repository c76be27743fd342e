"""The parts of a network that belong to domains, and their transfer to a network with other domains.

A network needs no declaration of these parts: they are what changes when it is built for one domain more. A tensor
that grows has the same number of rows for each domain, one domain after the other. Tensors that are added belong to a
list or a mapping with an item for each domain, such as `heads.2.weight` or `heads.owl.weight`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

ANOTHER = "_another_domain"
"""The name of the domain more for which a network is built."""
Shapes = Mapping[str, Sequence[int]]
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Item:
    """A tensor in a list or mapping of domains: the part of its name that says the domain, and that domain."""

    part: int
    y: int
    by_name: bool
    """True if that part is the domain's name, False if it is its index."""


@dataclass(frozen=True)
class Heads:
    """The parts of a network that belong to domains."""

    axes: Mapping[str, int] = field(default_factory=dict)
    """By name of a tensor with rows for each domain: the dimension of these rows."""
    items: Mapping[str, Item] = field(default_factory=dict)
    """The tensors that belong to one domain, by name."""


def find_heads(shapes: Shapes, grown: Shapes, domains: Sequence[str]) -> Heads:
    """Find the heads of a network: `shapes` are those of its tensors for `domains`, `grown` those with ANOTHER."""
    count, axes, items = len(domains), dict[str, int](), dict[str, Item]()
    for name, shape in shapes.items():
        more = grown.get(name, ())
        changed = [axis for axis, sizes in enumerate(zip(shape, more, strict=False)) if sizes[0] != sizes[1]]
        if (
            len(more) == len(shape)
            and len(changed) == 1
            and shape[changed[0]] * (count + 1) == more[changed[0]] * count
        ):
            axes[name] = changed[0]
    labels = {str(count): [str(y) for y in range(count)], ANOTHER: [*domains]}
    for name in grown.keys() - shapes.keys():
        parts = name.split(".")
        for n, part in enumerate(parts):
            members = [".".join([*parts[:n], label, *parts[n + 1 :]]) for label in labels.get(part, ())]
            if members and all(member in shapes for member in members):
                items |= {member: Item(n, y, part == ANOTHER) for y, member in enumerate(members)}
    return Heads(axes, items)


@dataclass(frozen=True)
class Transfer:
    """The way from a network's tensors to those of a network with other domains."""

    heads: Heads
    origins: Sequence[int | None]
    """For each domain, in order, the index of the domain of the source whose heads it gets; None: its own."""
    sources: Sequence[str]
    """The domains of the source."""

    def source(self, name: str) -> str | None:
        """Return the name in the source of a tensor; None for one of a domain that keeps its own heads."""
        item = self.heads.items.get(name)
        if item is None:
            return name
        origin = self.origins[item.y]
        if origin is None:
            return None
        parts = name.split(".")
        parts[item.part] = self.sources[origin] if item.by_name else str(origin)
        return ".".join(parts)

    def is_whole(self, name: str) -> bool:
        """Return True if all of a tensor comes from the source, and not only the rows of some domains."""
        return self.source(name) is not None and not (name in self.heads.axes and None in self.origins)

    def arranged(self, name: str, found: Tensor, own: Tensor | None = None) -> Tensor:
        """Return a tensor of the source with the rows in the order of the domains; rows of new ones are from `own`."""
        axis, count = self.heads.axes.get(name, -1), len(self.sources)
        if axis < 0 or axis >= found.dim() or found.shape[axis] % count:
            return found
        theirs = found.chunk(count, axis)
        ours = (own if own is not None else found).to(found).chunk(len(self.origins), axis)
        rows = [theirs[origin] if origin is not None else ours[y] for y, origin in enumerate(self.origins)]
        if any(row.shape != rows[0].shape for row in rows):
            return found
        return torch.cat(rows, axis)


@dataclass
class Taken:
    """The tensors that one part of a run takes from a source, and what it does not."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)
    """Names of tensors that come from the source in whole."""
    lacking: list[str] = field(default_factory=list)
    """Names of tensors that the source lacks."""
    others: list[str] = field(default_factory=list)
    """Tensors of another shape, each with both."""


def take(own: Tensors, found: Tensors, transfer: Transfer) -> Taken:
    """Take the tensors of `found` that fit `own`, by name and shape and, for heads, by domain."""
    taken = Taken()
    for name, tensor in own.items():
        source = transfer.source(name)
        if source is None:
            continue
        if source not in found:
            taken.lacking.append(name)
            continue
        made = transfer.arranged(name, found[source], tensor)
        if made.shape != tensor.shape:
            taken.others.append(f"{name} {list(found[source].shape)}, not {list(tensor.shape)}")
            continue
        taken.tensors[name] = made
        if transfer.is_whole(name):
            taken.whole.append(name)
    return taken
