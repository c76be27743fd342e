"""Finding plugins: by entry points, by a registry file that pins them, or one file named explicitly."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
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
from i2i_core.errors import PluginError, RecipeError, did_you_mean
from i2i_core.recipe.document import load_text
from i2i_core.registry import builtins, hookspecs
from i2i_core.registry.entries import Registrar, Registry

GROUP = "i2i.plugins"
BUNDLED = Path(__file__).with_name("registry.yaml")
"""The catalogue of this release; its `index` says what to install for the names of known plugins."""
_files: dict[str, Path] = {}
"""The single-file plugins that this process has loaded, by the names of their modules."""


@dataclass
class Plugin:
    """A row of `i2i plugins`; `error` says why it is not in use."""

    name: str
    version: str = ""
    distribution: str = ""
    components: list[str] = field(default_factory=list)
    recipes: list[str] = field(default_factory=list)
    error: str = ""


class Plugins:
    """The loaded plugins, what they registered and where their recipes are."""

    def __init__(
        self, registry_file: Path | None = None, files: tuple[Path, ...] = (), *, installed: bool = True
    ) -> None:
        """Load plugins; one that fails is a row with its error, never an exception.

        registry_file: the allow-list (see `load_registry_file`) instead of the installed entry points;
        installed: whether those are wanted; files: single-file plugins to load besides. Raises PluginError for a file
        that cannot be used.
        """
        self.manager = pluggy.PluginManager("i2i")
        self.manager.add_hookspecs(hookspecs)
        self.registry = Registry()
        self.rows: list[Plugin] = []
        self.registry_file, self.files = registry_file, files
        self._recipes: dict[str, Path] = {}
        self._load(Plugin("core", __version__, DISTRIBUTION), lambda: builtins)
        for name, pinned in self.listed["plugins"].items() if registry_file else _installed() if installed else ():
            if pinned.get("enabled", True):
                row = Plugin(name, _version(pinned.get("distribution")), pinned.get("distribution", ""))
                self._load(row, partial(_import_pinned, pinned, (registry_file or BUNDLED).parent))
        for file in files:
            row = Plugin(file.stem, distribution=str(file))
            self._load(row, partial(load_file, file))
            if row.error:
                raise PluginError(f"the plugin file {file} does not load: {row.error}")

    @cached_property
    def listed(self) -> dict[str, Any]:
        """The registry file in use, or this release's; read when it is asked for, as most runs need it not."""
        return load_registry_file(self.registry_file or BUNDLED)

    @property
    def index(self) -> dict[str, str]:
        """What to install for the names of known plugins."""
        return self.listed.get("index") or {}

    def hint_for_plugin(self, name: str) -> str:
        """Say why a plugin is not in use, or what to install for it; nothing where it is in use or unknown."""
        for row in self.rows:
            if row.name == name:
                return f"plugin {name} is not in use: {row.error}" if row.error else ""
        return pip_install(self.index[name]) if name in self.index else ""

    def hint_for_recipe(self, file: str) -> str:
        """Say the same for a recipe of a known plugin; to install is all that the recipe needs."""
        for name, pinned in self.listed["plugins"].items():
            if needed := (pinned.get("recipes") or {}).get(file):
                if name in (row.name for row in self.rows):
                    return self.hint_for_plugin(name)
                wanted = [self.index[name] for name in ([file] if file in self.index else needed) if name in self.index]
                return pip_install(*wanted) if wanted else ""
        return ""

    def recipes(self) -> dict[str, Path]:
        """Bundled recipes by file name."""
        return dict(self._recipes)

    def _load(self, row: Plugin, load: Callable[[], ModuleType]) -> None:
        """Fill the row of the plugin that `load` imports: with what it registers, or why it is not in use."""
        first = next((other for other in self.rows if other.name == row.name), None)
        self.rows.append(row)
        if first is not None:
            row.error = f"{first.distribution} already brings a plugin called {row.name}" + (
                " and comes first by name; uninstall one of the two, or list one in a registry file"
                if row.version
                else "; rename the file"
            )
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
        except (Exception, SystemExit) as error:  # a plugin may raise anything: that is its row's error
            row.error = _explained(error, row)
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
        try:
            SpecifierSet(str(row.get("version", "")))
        except InvalidSpecifier:
            raise PluginError(f"{path}: version of plugin {name} is no version range: {row['version']}") from None
    return dict(data)


def _installed() -> list[tuple[str, dict[str, str]]]:
    """What entry points name, as rows of a registry file that pin nothing; sorted by name, then by distribution."""
    points = [(p.name, p.dist.name if p.dist else "", p.value) for p in metadata.entry_points(group=GROUP)]
    return [(name, {"package": package, "distribution": dist}) for name, dist, package in sorted(points)]


def _import_pinned(pinned: Mapping[str, Any], base: Path) -> ModuleType:
    """Import a plugin of a registry file in `base`: from its folder where there is one, else the version it pins."""
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
    """Raises PluginError when its metadata asks for another version of the core; pip checks that unless told not to."""
    for need in map(Requirement, metadata.requires(distribution) or ()):
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        asked = canonicalize_name(need.name) == DISTRIBUTION and applies
        if asked and not need.specifier.contains(__version__, prereleases=True):
            raise PluginError(
                f"it needs {DISTRIBUTION}{need.specifier}, and {__version__} is installed; "
                f'pip install "{DISTRIBUTION}{need.specifier}", or another version of {distribution}'
            )


def _check_hooks(manager: pluggy.PluginManager, plugin: ModuleType) -> None:
    """Raises PluginError for what should be a hook of the plugin and is none: pluggy would pass it over."""
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
        raise PluginError(f"{plugin.__name__} is no plugin: no function in it is marked with @hookimpl")


def _explained(error: BaseException, row: Plugin) -> str:
    """Why a plugin is not in use: what it raised, where in its code, and what to do where pip can."""
    if isinstance(error, PluginError):
        return str(error)
    ours = (str(Path(__file__).parents[1]), os.path.dirname(importlib.__file__), os.path.dirname(pluggy.__file__), "<")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    place = f", at {frames[0].filename}:{frames[0].lineno}" if frames else ""
    todo = f"; update or uninstall {row.distribution}" if row.version else ""
    return " ".join(f"{type(error).__name__}: {error}{place}{todo}".split())


def pip_install(*requirements: str) -> str:
    """The command that installs them; quotes that every shell takes."""
    return " ".join(["pip install", *(f'"{text}"' if "[" in text else text for text in requirements)])


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
    _files[name] = path.resolve()
    return module


class LoadedFiles:
    """The single-file plugins of a process; the process that unpickles this loads them too.

    Their modules are in no folder where Python would look. Pickle keeps to the order in which it is given things, so
    this has to come before objects whose classes are in such a module.
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
