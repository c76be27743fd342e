"""Loading of models from a folder, a run or a hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from i2i import hub
from i2i.translator import Translator
from i2i_core.disk.checkpoints import MANIFEST, verify
from i2i_core.errors import I2IError, UsageError
from i2i_core.models.folder import CONFIG, RECIPE, WEIGHTS, Model, read
from i2i_core.models.from_run import of_run
from i2i_core.models.source import folder_of
from i2i_core.registry.plugins import Plugins, discover


def load(model: str | Path, *, device: str | torch.device | None = None, plugins: Plugins | None = None) -> Translator:
    """Load a model, and return its Translator.

    model: a folder that `i2i export` wrote, the folder of a run or of one of its checkpoints, or OWNER/MODEL on a hub.
    device: by default an accelerator, else the CPU. Raises an I2IError if the model cannot be used.
    """
    plugins = plugins or discover()
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    return Translator(find(model, plugins), plugins, _usable(device or "cpu"))


def find(model: str | Path, plugins: Plugins) -> Model:
    """Find the model that `load` loads."""
    folder = Path(model)
    if not folder.is_dir():
        if not hub.NAME.fullmatch(str(model)) or folder.parent.is_dir():  # a path with a typo is not a name on a hub
            raise UsageError(
                f"there is no model {model}; name a folder that i2i export wrote, the folder of a run, or "
                f"OWNER/MODEL on a hub"
            )
        try:
            return replace(read(hub.pull(str(model))), name=folder.name)
        except I2IError as error:
            raise UsageError(f"there is no folder {model}, and no model of this name on a hub: {error}") from error
    if any((folder / name).is_file() for name in (CONFIG, WEIGHTS)):
        return read(folder)
    if (folder / MANIFEST).is_file():
        return of_run(folder_of(folder), plugins, verify(folder).step)
    if not (folder / RECIPE).is_file():
        raise UsageError(
            f"{folder} is not a model, because it has no {CONFIG}, and not a run, because it has no {RECIPE}"
        )
    return of_run(folder, plugins)


def _usable(device: str | torch.device) -> torch.device:
    """Return the device; raises UsageError if it cannot be used."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
        raise UsageError(f"the device {device} cannot be used here: {str(error).partition('. ')[0]}") from None
