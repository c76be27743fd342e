"""env.json: with what a run was trained, and what of it is missing or different when the run is resumed."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from i2i_core import __version__, state
from i2i_core.check import Checked
from i2i_core.plugins import Plugins

from .resolved import components

FILE = "env.json"
LIBRARIES = ("torch", "accelerate", "safetensors")


def write(folder: Path, checked: Checked, plugins: Plugins, accelerator: Accelerator) -> None:
    """What and which machine made this run; of plugins, those that its recipe names."""
    named = components(checked)
    used = {entry.plugin for entry in plugins.registry if entry.name in named}
    device = accelerator.device
    facts = {"python": platform.python_version(), "platform": platform.platform(),
             "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
             "versions": _versions(),
             "plugins": {name: origin for name, origin in _origins(plugins).items() if name in used},
             "world_size": accelerator.num_processes, "threads": torch.get_num_threads(), "command": sys.argv}
    state.write_file(folder / FILE, json.dumps(facts, indent=1))


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote, or nothing."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def missing(before: Mapping[str, Any], plugins: Plugins) -> list[str]:
    """Each plugin that the run used and that is not in use now, with what to do about it."""
    errors = {row.name: row.error for row in reversed(plugins.rows)}

    def said(name: str, origin: str) -> str:
        if name in errors:
            return f"plugin {name} ({origin}), which is not in use: {errors[name]}"
        if "==" in origin:
            return f"plugin {name}, which is not installed; pip install {origin}"
        option = "--plugin" if origin.endswith(".py") else "--registry"
        return f"plugin {name}, which is not loaded; add {option} {origin}"

    return [said(name, origin) for name, origin in before.get("plugins", {}).items() if errors.get(name, "gone")]


def changed(before: Mapping[str, Any], plugins: Plugins) -> str:
    """Which versions the run was trained with until now, and which are installed instead; "" for no difference."""
    was = _pinned(before.get("versions", {})) | before.get("plugins", {})
    now = _pinned(_versions()) | _origins(plugins)
    differ = [name for name in was if name in now and was[name] != now[name]]
    before_and_now = (", ".join(versions[name] for name in differ) for versions in (was, now))
    return "was trained with {}, and now there is {}".format(*before_and_now) if differ else ""


def _versions() -> dict[str, str]:
    return {"i2i": __version__, **{name: metadata.version(name) for name in LIBRARIES}}


def _pinned(versions: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{name}=={version}" for name, version in versions.items()}


def _origins(plugins: Plugins) -> dict[str, str]:
    """What brings each plugin: its distribution as pip takes it, or the path of its file or of the registry file."""
    installed = {row.name: f"{row.distribution}=={row.version}" if row.version else str(plugins.registry_file)
                 for row in plugins.rows if row.name != "core" and not row.error}
    return installed | {file.stem: str(file.resolve()) for file in plugins.files}
