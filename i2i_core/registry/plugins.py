"""Discovery of plugins: by entry points, by a registry file that pins them, or as single files."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from i2i_core import DISTRIBUTION, __version__
from i2i_core.disk.unknown import read_text
from i2i_core.errors import PluginError, RecipeError, did_you_mean
from i2i_core.recipe.document import MAX_BYTES, load_text
from i2i_core.registry import builtins, hookspecs
from i2i_core.registry.entries import Registrar, Registry

GROUP = "i2i.plugins"
BUNDLED = Path(__file__).with_name("registry.yaml")
"""The catalogue of this release. Its `index` maps names of known plugins to requirements for pip."""
_files: dict[str, Path] = {}
"""Paths of the single-file plugins that this process has loaded, by module name."""


@dataclass
class Plugin:
    """A row of `i2i plugins`. `error` is the reason why the plugin is not in use, or ""."""

    name: str
    version: str = ""
    distribution: str = ""
    components: list[str] = field(default_factory=list)
    recipes: list[str] = field(default_factory=list)
    error: str = ""


class Plugins:
    """The loaded plugins, their components and their recipes."""

    def __init__(
        self, registry_file: Path | None = None, files: tuple[Path, ...] = (), *, installed: bool = True
    ) -> None:
        """Load plugins. An installed plugin that fails to load becomes a row with an error.

        registry_file: an allow-list (see `load_registry_file`) that replaces the installed entry points.
        files: single-file plugins to load in addition.
        installed: load the installed entry points, if there is no registry file.
        Raises PluginError for a registry file or a single-file plugin that cannot be loaded.
        """
        self.manager = pluggy.PluginManager("i2i")
        self.manager.add_hookspecs(hookspecs)
        self.registry = Registry()
        self.rows: list[Plugin] = []
        self.registry_file, self.files = registry_file, files
        self._recipes: dict[str, Path] = {}
        self._load(Plugin("core", __version__, DISTRIBUTION), lambda: builtins)
        to_load = [(name, pinned) for name, pinned in self._to_load(installed) if pinned.get("enabled", True)]
        names = Counter(name for name, _ in to_load)
        for name, pinned in to_load:
            row = Plugin(name, _version(pinned.get("distribution")), pinned.get("distribution", ""))
            if names[name] > 1:  # neither is used: the one that is not meant would run its code
                row.error = _ambiguous(name, [other.get("distribution", "") for its, other in to_load if its == name])
                self.rows.append(row)
            else:
                self._load(row, partial(_import_pinned, pinned, (registry_file or BUNDLED).parent))
        for file in files:
            row = Plugin(file.stem, distribution=str(file))
            self._load(row, partial(load_file, file))
            if row.error:
                raise PluginError(f"the plugin file {file} does not load: {row.error}")

    def _to_load(self, installed: bool) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Return the plugins of the registry file if there is one, else those of the entry points, if wanted."""
        if self.registry_file:
            rows: Mapping[str, Mapping[str, Any]] = self.listed["plugins"]
            return rows.items()
        return _installed() if installed else ()

    @cached_property
    def listed(self) -> dict[str, Any]:
        """The registry file in use, or this release's catalogue; read on first access, as most runs do without."""
        return load_registry_file(self.registry_file or BUNDLED)

    @property
    def index(self) -> dict[str, str]:
        """Requirements for pip, by name of a known plugin."""
        return self.listed.get("index") or {}

    def hint_for_plugin(self, name: str) -> str:
        """Return why a plugin is not in use, or the command that installs it; "" if it is in use or unknown."""
        for row in self.rows:
            if row.name == name:
                return f"plugin {name} is not in use: {row.error}" if row.error else ""
        return pip_install(self.index[name]) if name in self.index else ""

    def hint_for_recipe(self, file: str) -> str:
        """Return the same hint for a known plugin's recipe. The command installs all plugins that it needs."""
        for name, pinned in self.listed["plugins"].items():
            if needed := (pinned.get("recipes") or {}).get(file):
                if name in (row.name for row in self.rows):
                    return self.hint_for_plugin(name)
                wanted = [self.index[name] for name in ([file] if file in self.index else needed) if name in self.index]
                return pip_install(*wanted) if wanted else ""
        return ""

    def recipes(self) -> dict[str, Path]:
        """Return the paths of the bundled recipes, by file name."""
        return dict(self._recipes)

    def _load(self, row: Plugin, load: Callable[[], ModuleType]) -> None:
        """Load a plugin with `load`, register its components and fill its row, with the error if it fails."""
        first = next((other for other in self.rows if other.name == row.name), None)
        self.rows.append(row)
        if first is not None:
            todo = "uninstall it, or rename its entry point" if row.version else "rename the file"
            row.error = f"{first.distribution} already brings a plugin called {row.name}; {todo}"
            return
        try:
            plugin = load()
            _check_hooks(self.manager, plugin)
            self.manager.register(plugin, row.name)
            others = self.manager.get_plugins() - {plugin}
            registrar = Registrar(self.registry, row.name, prefix="" if plugin is builtins else f"{row.name}/")
            self.manager.subset_hook_caller("i2i_components", others)(registry=registrar)
            folders = self.manager.subset_hook_caller("i2i_recipes", others)()
            found = {path.name: path for folder in folders for path in sorted(Path(folder).glob("*.yaml"))}
            self._recipes = found | self._recipes
            row.recipes = list(found)
        except BaseException as error:  # a plugin may raise anything
            if type(error) is KeyboardInterrupt:
                raise
            row.error = _explained(error, row)
            self.registry.remove_plugin(row.name)
            if self.manager.has_plugin(row.name):
                self.manager.unregister(name=row.name)
        row.components = [e.name for e in self.registry if e.plugin == row.name]


def discover(registry_file: Path | None = None, files: tuple[Path, ...] = ()) -> Plugins:
    """Load the plugins of this process. The environment variable `I2I_REGISTRY` is the default of `registry_file`."""
    named = registry_file or os.environ.get("I2I_REGISTRY")
    return Plugins(Path(named).resolve() if named else None, files)


def load_registry_file(path: Path) -> dict[str, Any]:
    """Read a registry file. Raises PluginError unless it lists plugins, each with its package."""
    try:
        data = load_text(read_text(path, MAX_BYTES), str(path)).data
    except (OSError, ValueError) as error:
        raise PluginError(f"the registry file {path} cannot be read: {error}") from None
    except RecipeError as error:
        raise PluginError(str(error)) from None
    rows = data.get("plugins") if isinstance(data, dict) else None
    if not isinstance(rows, dict) or not all(isinstance(row, dict) and "package" in row for row in rows.values()):
        raise PluginError(f"{path} is not a registry file: it needs a mapping called plugins, with a package for each")
    for name, row in rows.items():
        if not isinstance(row.get("enabled", True), bool):
            raise PluginError(f"{path}: enabled of plugin {name} should be true or false")
        try:
            SpecifierSet(str(row.get("version", "")))
        except InvalidSpecifier:
            raise PluginError(f"{path}: version of plugin {name} is not a version range: {row['version']}") from None
    return dict(data)


def _installed() -> list[tuple[str, dict[str, str]]]:
    """Return the installed entry points as rows of a registry file, sorted by name, then by distribution."""
    points = [(p.name, p.dist.name if p.dist else "", p.value) for p in metadata.entry_points(group=GROUP)]
    return [(name, {"package": package, "distribution": dist}) for name, dist, package in sorted(points)]


def _ambiguous(name: str, distributions: list[str]) -> str:
    """Return the reason why none of the distributions that bring a plugin of one name is in use."""
    told = " and ".join(f"{distribution} {_version(distribution)}" for distribution in distributions)
    return (
        f"{told} bring a plugin called {name}, so it is unclear which one is meant; uninstall all but one, or list "
        f"that one in a registry file"
    )


def _import_pinned(pinned: Mapping[str, Any], base: Path) -> ModuleType:
    """Import a plugin of a registry file in the folder `base`.

    If the row names a folder that exists, the plugin is imported from there. Otherwise its distribution is used; raises
    PluginError if the installed version is not the pinned one.
    """
    folder = base / pinned["folder"] if pinned.get("folder") else None
    installed, wanted = _version(pinned.get("distribution")), str(pinned.get("version", ""))
    if folder is not None and folder.is_dir():
        sys.path.insert(0, str(folder))
    elif installed:
        if not SpecifierSet(wanted).contains(installed, prereleases=True):
            raise PluginError(
                f"{installed} is installed, the registry file wants {wanted}; "
                f'pip install "{pinned["distribution"]}{wanted}"'
            )
        _check_core(pinned["distribution"])
    return importlib.import_module(pinned["package"])


def _check_core(distribution: str) -> None:
    """Raise PluginError if the distribution's metadata requires another version of the core."""
    for need in map(Requirement, metadata.requires(distribution) or ()):
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        asked = canonicalize_name(need.name) == DISTRIBUTION and applies
        if asked and not need.specifier.contains(__version__, prereleases=True):
            raise PluginError(
                f"it needs {DISTRIBUTION}{need.specifier}, and {__version__} is installed; "
                f'pip install "{DISTRIBUTION}{need.specifier}", or another version of {distribution}'
            )


def _check_hooks(manager: pluggy.PluginManager, plugin: ModuleType) -> None:
    """Raise PluginError for unknown or unmarked hook functions of a plugin, which pluggy would ignore."""
    known = [name for name in vars(hookspecs) if name.startswith("i2i_")]
    marked = [name for name in vars(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
    for name in marked:
        if name not in known:
            raise PluginError(f"there is no hook called {name} ({did_you_mean(name, known)})")
        arguments = inspect.signature(getattr(hookspecs, name)).parameters
        for argument, parameter in inspect.signature(getattr(plugin, name)).parameters.items():
            if argument not in arguments and parameter.default is parameter.empty:
                raise PluginError(f"the hook {name} has no argument {argument} ({did_you_mean(argument, arguments)})")
    for name in known:
        if inspect.isfunction(getattr(plugin, name, None)) and name not in marked:
            raise PluginError(f"{name} is not marked with @hookimpl")
    if not marked:
        raise PluginError(f"{plugin.__name__} is not a plugin: no function in it is marked with @hookimpl")


def _explained(error: BaseException, row: Plugin) -> str:
    """Return the reason why a plugin is not in use: the error, its place in the plugin's code, and what to do."""
    if isinstance(error, PluginError):
        return str(error)
    above = (str(Path(__file__).parents[1]), os.path.dirname(importlib.__file__), os.path.dirname(pluggy.__file__), "<")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(above)]
    place = f", at {frames[0].filename}:{frames[0].lineno}" if frames else ""
    todo = f"; update or uninstall {row.distribution}" if row.version else ""
    return " ".join(f"{type(error).__name__}: {error}{place}{todo}".split())


def pip_install(*requirements: str) -> str:
    """Return the command that installs the requirements, with quotes that every shell accepts."""
    return " ".join(["pip install", *(f'"{text}"' if "[" in text else text for text in requirements)])


def load_file(path: Path) -> ModuleType:
    """Import a single-file plugin as a module named after the file, so that its targets are "stem:Object"."""
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise PluginError("there is no such file; --plugin takes the path of a .py file")
    known = importlib.util.find_spec(name)
    if known is not None and known.origin and Path(known.origin).resolve() != path.resolve():
        raise PluginError(f"it would hide the Python module {name}; give it another name")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _files[name] = path.resolve()
    return module


class LoadedFiles:
    """A pickle of this process's single-file plugins; unpickling it loads them in the other process.

    Their modules are not on Python's import path. Pickle this before objects whose classes are in such a module, since
    objects are unpickled in the same order.
    """

    def __reduce__(self) -> tuple[Callable[[list[Path]], LoadedFiles], tuple[list[Path]]]:
        return _load_again, ([path for name, path in _files.items() if name in sys.modules],)


def _load_again(files: list[Path]) -> LoadedFiles:
    for file in files:
        if file.stem not in sys.modules:
            load_file(file)
    return LoadedFiles()


def _version(distribution: str | None) -> str:
    try:
        return metadata.version(distribution) if distribution else ""
    except metadata.PackageNotFoundError:
        return ""
