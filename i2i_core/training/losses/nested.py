"""Logits and features as nested lists of tensors: one tensor for each scale of a discriminator, or for each layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Nested = Tensor | Sequence[Any]
"""A tensor (a leaf of the structure), or a list or tuple of nested structures."""


def leaves(nested: Nested, name: str) -> list[Tensor]:
    """Return the leaves of a nested structure, in order.

    name: name of the argument, for the error. Raises ValueError if the structure holds an empty list or anything that
    is neither a tensor nor a list.
    """
    if isinstance(nested, Tensor):
        return [nested]
    if not isinstance(nested, list | tuple) or not nested:
        what = "an empty list" if isinstance(nested, list | tuple) else f"a value of type {type(nested).__name__}"
        raise ValueError(f"{name} should be a tensor or nested lists of tensors, and contains {what}")
    return [leaf for part in nested for leaf in leaves(part, name)]


def paired(real: Nested, fake: Nested, what: str = "logits") -> list[tuple[Tensor, Tensor]]:
    """Return the pairs of leaves at the same place of two structures.

    what: "logits" or "features", for the error. Raises ValueError if the structures differ.
    """
    pairs = zip(leaves(real, f"real_{what}"), leaves(fake, f"fake_{what}"), strict=False)
    if _structure(real) != _structure(fake):
        raise ValueError(
            f"real_{what} and fake_{what} differ in structure: {_structure(real)} and {_structure(fake)}; "
            f"compute both with the same discriminators"
        )
    return list(pairs)


def paired_by_sample(real: Nested, fake: Nested, what: str = "logits") -> list[tuple[Tensor, Tensor]]:
    """Return the same pairs. Raises ValueError also if the leaves of a pair differ in shape."""
    pairs = paired(real, fake, what)
    for a, b in pairs:
        if a.shape != b.shape:
            raise ValueError(
                f"real_{what} and fake_{what} are compared sample by sample, and have the shapes {list(a.shape)} and "
                f"{list(b.shape)}; compute both for as many pictures of the same size"
            )
    return pairs


def mean(numbers: Iterable[Tensor]) -> Tensor:
    """Return the mean of scalars, one for each leaf."""
    return torch.stack(list(numbers)).mean()


def sum_of(numbers: Iterable[Tensor]) -> Tensor:
    """Return the sum of scalars, one for each leaf."""
    return torch.stack(list(numbers)).sum()


def _structure(nested: Nested) -> str:
    return "tensor" if isinstance(nested, Tensor) else f"[{', '.join(map(_structure, nested))}]"
