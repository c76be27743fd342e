"""Finding plugins: by entry points, by a registry file that pins them, or one file named explicitly."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from i2i_core import builtins, hookspecs
from i2i_core.errors import PluginError
from i2i_core.registry import Registrar, Registry

GROUP = "i2i.plugins"
BUNDLED = Path(__file__).with_name("registry.yaml")
"""The catalogue of this release; its `index` says what to install for the names of known plugins."""


_loaded: set[str] = set()
"""Names of modules that are single-file plugins."""


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
        self._add(Plugin("core", _version("i2i"), "i2i"), builtins, prefix="")
        if registry_file is None:
            for point in sorted(metadata.entry_points(group=GROUP), key=lambda p: p.name):
                self._load(point.name, point.value, point.dist.name if point.dist else "")
        else:
            for name, row in load_registry_file(registry_file)["plugins"].items():
                self._load_pinned(name, row, registry_file.parent)
        for file in files:
            if any(row.name == file.stem for row in self.rows):
                raise PluginError(f"the plugin file {file} needs another name: there is already a plugin {file.stem}")
            self._add(Plugin(file.stem, distribution=str(file)), load_file(file), f"{file.stem}/")

    def recipes(self) -> dict[str, Path]:
        """Bundled recipes by file name."""
        folders = self.manager.hook.i2i_recipes()
        return {path.name: path for folder in folders for path in sorted(Path(folder).glob("*.yaml"))}

    def _load_pinned(self, name: str, row: dict[str, Any], base: Path) -> None:
        if not row.get("enabled", True):
            return
        distribution = row.get("distribution", "")
        folder = base / row["folder"] if row.get("folder") else None
        if folder is not None and folder.is_dir():
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
        elif (installed := _version(distribution)) and not _allows(row.get("version", ""), installed):
            self.rows.append(Plugin(name, installed, distribution,
                                    error=f"{installed} is installed, the registry file wants {row['version']}"))
            return
        self._load(name, row["package"], distribution)

    def _load(self, name: str, module: str, distribution: str) -> None:
        row = Plugin(name, _version(distribution), distribution)
        try:
            found = importlib.import_module(module)
        except (Exception, SystemExit) as error:  # whatever a plugin raises is its row's error
            row.error = f"{type(error).__name__}: {error}"
            self.rows.append(row)
            return
        self._add(row, found, f"{name}/")

    def _add(self, row: Plugin, module: ModuleType, prefix: str) -> None:
        taken = any(other.name == row.name for other in self.rows)
        self.rows.append(row)
        if taken:
            row.error = f"there is already a plugin called {row.name}"
            return
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
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PluginError(f"the registry file {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get("plugins"), dict):
        raise PluginError(f"{path} is no registry file: it has no mapping called plugins")
    for name, row in data["plugins"].items():
        if not isinstance(row, dict) or not isinstance(row.get("package"), str):
            raise PluginError(f"the registry file {path} does not say the package of plugin {name}")
        try:
            SpecifierSet(str(row.get("version", "")))
        except InvalidSpecifier:
            raise PluginError(f"the registry file {path}: {row['version']!r} of plugin {name} is no version range; "
                              f'write for example ">=0.1,<1"') from None
    return data


def load_file(path: Path) -> ModuleType:
    """Import a single-file plugin under its stem, so that its targets may say "stem:Thing"."""
    name, known = path.stem, None
    with suppress(ValueError, ImportError):
        known = importlib.util.find_spec(name) if name not in _loaded else None
    if known is not None and known.origin and Path(known.origin).resolve() != path.resolve():
        raise PluginError(f"the plugin file {path} would hide the Python module {name}; give it another name")
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise PluginError(f"there is no plugin file {path}; --plugin takes the path of a .py file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    _loaded.add(name)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(f"the plugin file {path} does not load: {type(error).__name__}: {error}") from error
    return module


def _allows(versions: str, installed: str) -> bool:
    return SpecifierSet(versions).contains(installed, prereleases=True)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution) if distribution else ""
    except metadata.PackageNotFoundError:
        return ""
