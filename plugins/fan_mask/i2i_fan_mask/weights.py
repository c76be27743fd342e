"""Loading of FAN's weights from a `wing.ckpt` or `.safetensors` file, without executing code of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from i2i_core.disk.foreign import read, state_dict

from .fan import FAN


def load(fan: FAN, path: Path) -> FAN:
    """Load weights from a file into `fan`, and return it.

    The file contains FAN's state dict, either directly or under the key "state_dict". A prefix "module." of the names
    is removed. Further tensors, such as those of hourglasses that `fan` lacks, are ignored.

    Raises ValueError if the file is unreadable, is refused or does not fit.
    """
    try:
        found = state_dict(read(path))
    except OSError as error:
        where = "the README of i2i-gan-fan-mask names the file to download"
        raise ValueError(f"cannot read FAN's weights {path}: {error.strerror}; {where}") from error
    return fill(fan, found, path)


def fill(fan: FAN, found: Mapping[str, Tensor], path: Path) -> FAN:
    """Load the tensors `found` in `path` into `fan`, in the precision of the file; raises ValueError for a misfit."""
    wanted = fan.state_dict()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} of FAN's {len(wanted)} tensors, first {missing[0]}")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            theirs, ours = (list(t.shape) for t in (found[name], tensor))
            raise ValueError(f"{name} has the shape {theirs} in {path}, but {ours} in FAN")
    fan.load_state_dict({name: found[name] for name in wanted}, assign=True)
    return fan
