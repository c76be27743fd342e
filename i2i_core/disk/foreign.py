"""Reading tensors from untrusted files: safetensors, or files of torch.save, without executing code."""

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

from i2i_core.disk.unknown import open_regular


def read(path: Path) -> Any:
    """Return the contents of a checkpoint file, whose first bytes determine its format.

    Raises OSError if the file cannot be read, ValueError if it is not a checkpoint, is damaged or holds more than
    tensors.
    """
    with open_regular(path) as file:
        head = file.read(9)
    if not is_safetensors(head) and not head.startswith((b"PK", b"\x80")):  # torch.save: a zip; until 2020, pickles
        raise ValueError(f"{path} is not a checkpoint: neither .safetensors nor written by torch.save")
    try:
        if is_safetensors(head):
            return load(path.read_bytes())  # load_file fails on fake tensors, which predict memory
        with warnings.catch_warnings(action="ignore"):  # about unusual pickles, which are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        asked = named[1] if named else "more than tensors"
        raise ValueError(
            f"{path} is refused: its pickle asks for {asked}, which could run code; only tensors are loaded"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"{path} is cut short or damaged; fetch it again") from error


def is_safetensors(head: bytes) -> bool:
    """Return True if the first nine bytes of a file are those of safetensors: a size, then JSON."""
    return head[8:9] == b"{"


def state_dict(content: object) -> dict[str, Tensor]:
    """Return the tensors of a state dict by name, without the prefix "module.".

    The state dict may be `content` itself, its entry "state_dict", or its entries with the prefix "state_dict/".
    Returns {} for anything else.
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
