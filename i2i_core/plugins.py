"""Finding plugins: by entry points, by a registry file that pins them, or one file named explicitly."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from packaging.specifiers import SpecifierSet

from i2i_core import __version__, builtins, hookspecs
from i2i_core.errors import PluginError, RecipeError
from i2i_core.marks import load_text
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
        files: single-file plugins to load besides. Raises PluginError for a file that cannot be used.
        """
        self.manager = pluggy.PluginManager("i2i")
        self.manager.add_hookspecs(hookspecs)
        self.registry = Registry()
        self.rows: list[Plugin] = []
        self.files = files
        listing = registry_file or BUNDLED
        self.listed = load_registry_file(listing)
        self.index: dict[str, str] = self.listed.get("index") or {}
        self._load(Plugin("core", __version__, "i2i"), lambda: builtins)
        for name, pinned in self.listed["plugins"].items() if registry_file else _installed():
            if pinned.get("enabled", True):
                row = Plugin(name, _version(pinned.get("distribution")), pinned.get("distribution", ""))
                self._load(row, partial(_import_pinned, pinned, listing.parent))
        for file in files:
            row = Plugin(file.stem, distribution=str(file))
            self._load(row, partial(load_file, file))
            if row.error:
                raise PluginError(f"the plugin file {file} does not load: {row.error}")

    def recipes(self) -> dict[str, Path]:
        """Bundled recipes by file name."""
        folders = self.manager.hook.i2i_recipes()
        return {path.name: path for folder in folders for path in sorted(Path(folder).glob("*.yaml"))}

    def _load(self, row: Plugin, load: Callable[[], Any]) -> None:
        """Fill the row of the plugin that `load` imports: with what it registers, or why it is not in use."""
        taken = any(other.name == row.name for other in self.rows)
        self.rows.append(row)
        if taken:
            row.error = f"there is already a plugin called {row.name}"
            return
        try:
            plugin = load()
            self.manager.register(plugin, row.name)
            self.manager.check_pending()
            others = self.manager.get_plugins() - {plugin}
            registrar = Registrar(self.registry, row.name, prefix="" if plugin is builtins else f"{row.name}/")
            self.manager.subset_hook_caller("i2i_components", others)(registry=registrar)
        except (Exception, SystemExit) as error:  # a plugin may raise anything: that is its row's error
            row.error = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            self.registry.remove_plugin(row.name)
            if self.manager.has_plugin(row.name):
                self.manager.unregister(name=row.name)
        row.components = [e.name for e in self.registry if e.plugin == row.name]


def discover(registry_file: Path | None = None, files: tuple[Path, ...] = ()) -> Plugins:
    """The plugins of this process; `I2I_REGISTRY` names a registry file when the argument does not."""
    named = registry_file or os.environ.get("I2I_REGISTRY")
    return Plugins(Path(named).resolve() if named else None, files)


def load_registry_file(path: Path) -> dict[str, Any]:
    """Read registry.yaml; raises PluginError unless it lists plugins with a package each."""
    try:
        data = load_text(path.read_text(encoding="utf-8"), str(path)).data
    except (OSError, ValueError) as error:
        raise PluginError(f"the registry file {path} cannot be read: {error}") from None
    except RecipeError as error:
        raise PluginError(str(error)) from None
    rows = data.get("plugins") if isinstance(data, dict) else None
    if not isinstance(rows, dict) or not all(isinstance(row, dict) and "package" in row for row in rows.values()):
        raise PluginError(f"{path} is no registry file: it needs a mapping called plugins, with a package for each")
    for name, row in rows.items():
        if not isinstance(row.get("enabled", True), bool):
            raise PluginError(f"{path}: enabled of plugin {name} should be true or false")
    return dict(data)


def _installed() -> list[tuple[str, dict[str, str]]]:
    """What entry points name, as rows of a registry file that pin nothing."""
    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return [(p.name, {"package": p.value, "distribution": p.dist.name if p.dist else ""}) for p in points]


def _import_pinned(pinned: Mapping[str, Any], base: Path) -> ModuleType:
    """Import a plugin of a registry file in `base`: from its folder where there is one, else the version it pins."""
    folder = base / pinned["folder"] if pinned.get("folder") else None
    installed, wanted = _version(pinned.get("distribution")), str(pinned.get("version", ""))
    if folder is not None and folder.is_dir():
        sys.path.insert(0, str(folder))
    elif installed and not SpecifierSet(wanted).contains(installed, prereleases=True):
        raise PluginError(f"{installed} is installed, the registry file wants {wanted}")
    return importlib.import_module(pinned["package"])


def load_file(path: Path) -> ModuleType:
    """Import a single-file plugin under its stem, so that its targets may say "stem:Thing"."""
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise PluginError("there is no such file; --plugin takes the path of a .py file")
    known = importlib.util.find_spec(name)
    if known is not None and known.origin and Path(known.origin).resolve() != path.resolve():
        raise PluginError(f"it would hide the Python module {name}; give it another name")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _version(distribution: str | None) -> str:
    try:
        return metadata.version(distribution) if distribution else ""
    except metadata.PackageNotFoundError:
        return ""
