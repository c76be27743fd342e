"""Finding plugins: by entry points, by a registry file that pins them, or one file named explicitly."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import yaml

from i2i_core import builtins, hookspecs
from i2i_core.errors import PluginError
from i2i_core.registry import Registrar, Registry

GROUP = "i2i.plugins"
BUNDLED = Path(__file__).with_name("registry.yaml")
"""The catalogue of this release; its `index` says what to install for the names of known plugins."""


@dataclass
class Plugin:
    """A row of `i2i plugins`; `error` says why it is not in use."""

    name: str
    version: str = ""
    distribution: str = ""
    components: list[str] = field(default_factory=list)
    error: str = ""


class Plugins:
    """The loaded plugins, what they registered and where their recipes are."""

    def __init__(self, registry_file: Path | None = None, files: tuple[Path, ...] = ()) -> None:
        """Load plugins; one that fails is a row with its error, never an exception.

        registry_file: the allow-list (see `load_registry_file`) instead of the installed entry points;
        files: single-file plugins to load besides. Raises PluginError for a file that cannot be read.
        """
        self.manager = pluggy.PluginManager("i2i")
        self.manager.add_hookspecs(hookspecs)
        self.registry = Registry()
        self.rows: list[Plugin] = []
        self.files, self.registry_file = files, registry_file
        self.index = load_registry_file(registry_file or BUNDLED).get("index") or {}
        self._add(Plugin("core", _version("i2i")), builtins, prefix="")
        if registry_file is None:
            for point in sorted(metadata.entry_points(group=GROUP), key=lambda p: p.name):
                self._load(point.name, point.value, point.dist.name if point.dist else "")
        else:
            for name, row in load_registry_file(registry_file)["plugins"].items():
                self._load_pinned(name, row, registry_file.parent)
        for file in files:
            self._add(Plugin(file.stem, distribution=str(file)), load_file(file), f"{file.stem}/")

    def recipes(self) -> dict[str, Path]:
        """Bundled recipes by file name."""
        folders = self.manager.hook.i2i_recipes()
        return {path.name: path for folder in folders for path in sorted(Path(folder).glob("*.yaml"))}

    def _load_pinned(self, name: str, row: dict[str, Any], base: Path) -> None:
        if not row.get("enabled", True):
            return
        folder = base / row["folder"] if row.get("folder") else None
        if folder is not None and folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        self._load(name, row["package"], row.get("distribution", ""))

    def _load(self, name: str, module: str, distribution: str) -> None:
        row = Plugin(name, _version(distribution), distribution)
        try:
            found = importlib.import_module(module)
        except Exception as error:  # whatever a plugin raises is its row's error
            row.error = f"{type(error).__name__}: {error}"
            self.rows.append(row)
            return
        self._add(row, found, f"{name}/")

    def _add(self, row: Plugin, module: ModuleType, prefix: str) -> None:
        self.rows.append(row)
        try:
            self.manager.register(module, row.name)
            self.manager.check_pending()
            registrar = Registrar(self.registry, row.name, prefix)
            for impl in self.manager.hook.i2i_components.get_hookimpls():
                if impl.plugin is module:
                    impl.function(registrar)
        except Exception as error:
            row.error = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            self.registry.remove_plugin(row.name)
            if self.manager.is_registered(module):
                self.manager.unregister(module)
        row.components = [e.name for e in self.registry if e.plugin == row.name]


def discover(registry_file: Path | None = None, files: tuple[Path, ...] = ()) -> Plugins:
    """The plugins of this process; `I2I_REGISTRY` names a registry file when the argument does not."""
    named = registry_file or os.environ.get("I2I_REGISTRY")
    return Plugins(Path(named).resolve() if named else None, files)


def load_registry_file(path: Path) -> dict[str, Any]:
    """Read registry.yaml; raises PluginError when it is missing or not a mapping with `plugins`."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PluginError(f"the registry file {path} cannot be read: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("plugins"), dict):
        raise PluginError(f"{path} is no registry file: it has no mapping called plugins")
    return data


def load_file(path: Path) -> ModuleType:
    """Import a single-file plugin under its stem, so that its targets may say "stem:Thing"."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise PluginError(f"there is no plugin file {path}; --plugin takes the path of a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"the plugin file {path} does not load: {type(error).__name__}: {error}") from error
    return module


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution) if distribution else ""
    except metadata.PackageNotFoundError:
        return ""
