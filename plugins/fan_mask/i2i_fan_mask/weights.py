"""FAN's weights from a `wing.ckpt` or a `.safetensors` file, of which nothing is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from i2i_core.disk.foreign import read, state_dict

from .fan import FAN


def load(fan: FAN, path: Path) -> FAN:
    """Fill `fan` from a file, and return it.

    The file holds FAN's state dict, bare or under "state_dict", maybe among other things (hourglasses that `fan` has
    not); a "module." in front of the names is dropped. Raises ValueError for a file that is unreadable, refused or does
    not fit.
    """
    try:
        found = state_dict(read(path))
    except OSError as error:
        where = "the README of i2i-gan-fan-mask says where to get them"
        raise ValueError(f"cannot read FAN's weights {path}: {error.strerror}; {where}") from error
    return fill(fan, found, path)


def fill(fan: FAN, found: Mapping[str, Tensor], path: Path) -> FAN:
    """Put what was found in `path` into `fan`, in the file's precision; raises ValueError if it does not fit."""
    wanted = fan.state_dict()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} of FAN's {len(wanted)} tensors, first {missing[0]}")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            theirs, ours = (list(t.shape) for t in (found[name], tensor))
            raise ValueError(f"{path} holds {name} with shape {theirs} where FAN has {ours}")
    fan.load_state_dict({name: found[name] for name in wanted}, assign=True)
    return fan
