"""Whether two sides have the same tensors."""

from __future__ import annotations

from i2i_core.disk.checkpoints import Parts
from i2i_core.errors import CheckpointError


def match(expected: Parts, found: Parts, otherwise: str, ours_are: str, theirs_are: str) -> None:
    """Raises CheckpointError, listing both sides' names, unless both have the same tensors in the same shapes.

    otherwise: what it means that they do not. ours_are, theirs_are: what the sides are called.
    """
    ours, theirs = (
        {f"{part}: {name} {list(tensor.shape)}" for part, tensors in side.items() for name, tensor in tensors.items()}
        for side in (expected, found)
    )
    lines = []
    for side, names in ((ours_are, sorted(ours - theirs)), (theirs_are, sorted(theirs - ours))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"only in the {side}: {'; '.join(names[:3])}{more}")
    if lines:
        raise CheckpointError(f"{otherwise}. {'. '.join(lines)}")
