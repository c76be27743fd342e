"""Comparison of the tensors of two state dicts by name and shape."""

from __future__ import annotations

from i2i_core.disk.checkpoints import Parts
from i2i_core.errors import CheckpointError


def match(expected: Parts, found: Parts, otherwise: str, expected_in: str, found_in: str) -> None:
    """Raise CheckpointError that lists the differences, unless both sides have tensors of the same names and shapes.

    otherwise: the first sentence of the error. expected_in, found_in: names of the two sides in the error.
    """
    wanted, present = (
        {f"{part}: {name} {list(tensor.shape)}" for part, tensors in side.items() for name, tensor in tensors.items()}
        for side in (expected, found)
    )
    lines = []
    for side, names in ((expected_in, sorted(wanted - present)), (found_in, sorted(present - wanted))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"only in the {side}: {'; '.join(names[:3])}{more}")
    if lines:
        raise CheckpointError(f"{otherwise}. {'. '.join(lines)}")
