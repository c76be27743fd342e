"""The environment of a run: versions and plugins that it was trained with, compared with those in use now."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from i2i_core import DISTRIBUTION, __version__
from i2i_core.disk.files import write_file
from i2i_core.registry.plugins import Plugins

FILE = "env.json"
LIBRARIES = ("torch", "accelerate", "safetensors")


def write(folder: Path, components: Collection[str], plugins: Plugins, accelerator: Accelerator) -> None:
    """Write env.json into a run's folder: versions, plugins, device and command.

    components: names of all components that the run uses.
    """
    device = accelerator.device
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": versions(),
        "plugins": origins(plugins, components),
        "world_size": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "command": sys.argv,
    }
    write_file(folder / FILE, json.dumps(facts, indent=1))


def read(folder: Path) -> dict[str, Any]:
    """Read env.json of a run's folder, without entries that are damaged; return {} if it is missing."""
    found: object = None
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads((folder / FILE).read_bytes())
    facts: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
    for name in ("versions", "plugins"):
        entries = facts.get(name)
        facts[name] = {k: v for k, v in entries.items() if isinstance(v, str)} if isinstance(entries, dict) else {}
    return facts


def missing(before: Mapping[str, str], plugins: Plugins) -> list[str]:
    """Return a phrase for each plugin of `before`, {name: origin}, that is not in use now; it says what to do."""
    errors = {row.name: row.error for row in reversed(plugins.rows)}

    def phrase(name: str, origin: str) -> str:
        if name in errors:
            return f"plugin {name} ({origin}), which is not in use: {errors[name]}"
        if "==" in origin:
            return f"plugin {name}, which is not installed; pip install {shlex.quote(origin)}"
        option = "--plugin" if origin.endswith(".py") else "--registry"
        return f"plugin {name}, which is not loaded; add {option} {shlex.quote(origin)}"

    return [phrase(name, origin) for name, origin in before.items() if errors.get(name, "gone")]


def changed(before: Mapping[str, Any], plugins: Plugins) -> str:
    """Return a phrase that names the versions of the earlier run and those installed instead, or "" if all agree."""
    was = _pinned(before.get("versions", {})) | before.get("plugins", {})
    now = _pinned(versions()) | _all_origins(plugins)
    differ = [name for name in was if name in now and was[name] != now[name]]
    before_and_now = (", ".join(versions[name] for name in differ) for versions in (was, now))
    return "was trained with {}, and now there is {}".format(*before_and_now) if differ else ""


def versions() -> dict[str, str]:
    """Return the installed versions of i2i and of the numerical libraries, by distribution."""
    return {DISTRIBUTION: __version__, **{name: metadata.version(name) for name in LIBRARIES}}


def origins(plugins: Plugins, components: Collection[str]) -> dict[str, str]:
    """Return the origin of each plugin that registers one of the `components`, by plugin."""
    used = {entry.plugin for entry in plugins.registry if entry.name in components}
    return {name: origin for name, origin in _all_origins(plugins).items() if name in used}


def _pinned(versions: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{name}=={version}" for name, version in versions.items()}


def _all_origins(plugins: Plugins) -> dict[str, str]:
    """Return each plugin's origin: a requirement for pip, or the path of its file or of the registry file."""
    installed = {
        row.name: f"{row.distribution}=={row.version}" if row.version else str(plugins.registry_file)
        for row in plugins.rows
        if row.name != "core" and not row.error
    }
    return installed | {file.stem: str(file.resolve()) for file in plugins.files}
