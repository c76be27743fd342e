"""FAN's weights from a `wing.ckpt` or a `.safetensors` file, of which nothing is ever executed."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from .fan import FAN


def load(fan: FAN, path: Path) -> FAN:
    """Fill `fan` from a file, and return it.

    The file holds FAN's state dict, bare or under "state_dict", maybe among other things; a "module." in
    front of the names is dropped. Raises ValueError for a file that is unreadable, refused or does not fit.
    """
    found = _tensors(_read(path))
    wanted = fan.state_dict()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} of FAN's {len(wanted)} tensors, first {missing[0]}")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            theirs, ours = (list(t.shape) for t in (found[name], tensor))
            raise ValueError(f"{path} holds {name} with shape {theirs} where FAN has {ours}")
    fan.load_state_dict({name: found[name] for name in wanted}, assign=True)  # in the file's precision
    return fan


def _read(path: Path) -> Any:
    """What a checkpoint holds; its first bytes say of which format it is. Raises ValueError."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        where = "the README of i2i-fan-mask says where to get them"
        raise ValueError(f"cannot read FAN's weights {path}: {error.strerror}; {where}") from error
    safetensors = head[8:] == b"{"
    if not safetensors and not head.startswith((b"PK", b"\x80")):  # torch.save: a zip; until 2020, pickles
        raise ValueError(f"{path} is no checkpoint: neither .safetensors nor written by torch.save")
    try:
        if safetensors:
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # about unusual pickles, which are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        asked = named[1] if named else "more than tensors"
        raise ValueError(
            f"{path} is refused: its pickle asks for {asked}, which could run code; only tensors are loaded"
        ) from error
    except Exception as error:  # a broken file fails wherever it breaks
        raise ValueError(f"{path} is cut short or damaged; fetch it again") from error


def _tensors(content: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, bare or under "state_dict"; none if `content` is something else."""
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping):
        return {}
    return {str(name).removeprefix("module."): t for name, t in content.items() if isinstance(t, Tensor)}
