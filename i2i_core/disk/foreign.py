"""Tensors from other people's files: .safetensors, or what torch.save wrote, of which nothing is ever executed."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor


def read(path: Path) -> Any:
    """What a checkpoint holds; its first bytes say of which format it is.

    Raises OSError for a file that cannot be read, ValueError for one that is none, is damaged or is refused.
    """
    with open(path, "rb") as file:
        head = file.read(9)
    if not is_safetensors(head) and not head.startswith((b"PK", b"\x80")):  # torch.save: a zip; until 2020, pickles
        raise ValueError(f"{path} is no checkpoint: neither .safetensors nor written by torch.save")
    try:
        if is_safetensors(head):
            return load(path.read_bytes())  # load_file fails where memory is predicted, on tensors without contents
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


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins with these nine bytes is one: a size, then JSON."""
    return head[8:9] == b"{"


def state_dict(content: object) -> dict[str, Tensor]:
    """The tensors of a state dict, without "module." in front of their names.

    It may be bare, under "state_dict", or flat with "state_dict/" in front of the names; anything else holds none.
    """
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping):
        return {}
    return {
        str(name).removeprefix("state_dict/").removeprefix("module."): tensor
        for name, tensor in content.items()
        if isinstance(tensor, Tensor)
    }
