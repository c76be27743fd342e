"""Checks of a recipe before anything is built: names, keys, types, and the flow of tensors."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from i2i_core import DISTRIBUTION
from i2i_core.errors import PluginError, Problem, RecipeError
from i2i_core.interfaces import Schedule
from i2i_core.plan.checked import Checked, Key, OptimizerSpec
from i2i_core.plan.flow import check_flow
from i2i_core.plan.tensors import method_tensors
from i2i_core.recipe import sections
from i2i_core.recipe.document import Path as Place
from i2i_core.recipe.document import json_in_yaml
from i2i_core.recipe.problems import in_order
from i2i_core.recipe.reading import NOTHING, find_recipe, load_recipe, parse_recipe
from i2i_core.recipe.sections import OPTIMIZER_KEYS, Recipe, Use
from i2i_core.registry import environment
from i2i_core.registry.hook_methods import event_problems
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.specs import Checker, Spec, build

RecipeSource = str | Path | Mapping[str, object]
"""The name of a bundled recipe, the path of a file, or a recipe as a mapping."""


def load(recipe: RecipeSource, sets: Sequence[str], plugins: Plugins) -> Checked:
    """Find, read and check a recipe. The launcher's mixed precision applies if the recipe has no `precision`."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    loaded = _read(recipe, sets, plugins)
    if asked not in ("no", "") and (asked == "fp16" or ("precision",) not in loaded.document.values):
        launcher = {f"precision={asked}": f"mixed_precision {asked} of accelerate's launcher"}
        loaded = _read(recipe, sets, plugins, launcher)
    return check_recipe(loaded, plugins)


def _read(recipe: RecipeSource, sets: Sequence[str], plugins: Plugins, launcher: Mapping[str, str] = NOTHING) -> Recipe:
    if isinstance(recipe, Mapping):
        text = json_in_yaml(recipe, indent=1, default=str)
        return parse_recipe(text, "recipe", sets, launcher)
    return load_recipe(find_recipe(recipe, plugins.recipes(), plugins.hint_for_recipe), sets, launcher)


def load_again(recipe: RecipeSource, sets: Sequence[str], plugins: Plugins, folder: Path) -> Checked:
    """Load the recipe of the run in `folder`, as `load` does.

    If that fails, the error names plugins that are missing since the run, or versions that differ.
    """
    before = environment.read(folder)
    try:
        return load(recipe, sets, plugins)
    except RecipeError as error:
        if gone := environment.missing(before.get("plugins", {}), plugins):
            raise PluginError("\n".join(f"{folder} was trained with {what}" for what in gone)) from None
        if differ := environment.changed(before, plugins):
            raise RecipeError([*error.problems, Problem(f"{folder} {differ}")]) from None
        raise


def check_recipe(recipe: Recipe, plugins: Plugins) -> Checked:
    """Check a recipe and return it with a Spec for each component.

    Raises RecipeError with all problems, those found while reading included.
    """
    checker = Checker(plugins, recipe.document)
    formats = {entry.target: entry.name for entry in plugins.registry if entry.kind == "format"}
    checked = Checked(recipe, format_names=formats)

    def specs(kind: str, uses: Mapping[str, Use], *section: str) -> dict[str, Spec]:
        found = {
            name: checker.check(kind, {"use": use.use, **use.params}, (*section, name)) for name, use in uses.items()
        }
        return {name: spec for name, spec in found.items() if spec is not None}

    method = specs("method", {"method": recipe.method}).get("method")
    checked.data = specs("dataset", {"data": recipe.data}).get("data")
    if recipe.data.validation is not None:
        own, inherited = recipe.data.validation, {"use": recipe.data.use, **recipe.data.params}
        keys = {**inherited, **own} if own.get("use", recipe.data.use) == recipe.data.use else own
        checked.validation = checker.check("dataset", keys, ("data", "validation"), ("data",))
    checked.networks = specs("network", recipe.networks, "networks")
    checked.tensors = specs("tensor", recipe.tensors, "tensors")
    checked.losses = {
        (group, name): spec
        for group, terms in recipe.losses.items()
        for name, spec in specs("loss", terms, "losses", group).items()
    }
    checked.hooks = specs("hook", recipe.all_hooks(), "hooks")
    checked.trainer = specs("trainer", {"trainer": recipe.trainer}).get("trainer")
    checked.weights = _weights(recipe, checker)
    checked.optimizers = _optimizers(recipe, checker)
    _requirements(recipe, checker)
    for name, spec in checked.hooks.items():
        if inspect.isclass(spec.target):
            for problem in event_problems(spec.target):
                checker.report(problem.message, ("hooks", name), problem.hint)
    if method is not None:
        checked.method = method_tensors(method.target, method.mark)
        check_flow(checked, checker)
    if not recipe.document.problems:
        for check in plugins.manager.hook.i2i_check.get_hookimpls():
            try:
                found: Any = check.function(*(recipe for _ in check.argnames))
                checker.problems += found or []
            except Exception as error:  # a plugin may raise anything
                raise PluginError(
                    f"plugin {check.plugin_name} fails to check the recipe: {type(error).__name__}: "
                    f"{error}; update or uninstall it"
                ) from error
    if checker.problems:
        raise RecipeError(in_order(checker.problems))
    return checked


def _requirements(recipe: Recipe, checker: Checker) -> None:
    plugins = checker.plugins
    # Of two distributions with one plugin, the first is in use.
    distributions = {row.name: row.distribution for row in reversed(plugins.rows)} | {"i2i": DISTRIBUTION}
    for name, wanted in recipe.requires.items():
        place, distribution = ("requires", name), distributions.get(name, name)
        try:
            specifier = SpecifierSet(wanted)
            version = metadata.version(distribution or name)
            if not specifier.contains(version, prereleases=True):
                checker.report(
                    f"the recipe requires {name} {wanted}, and {version} is installed",
                    place,
                    f'pip install "{distribution}{wanted}"',
                )
        except InvalidSpecifier:
            checker.report(f"{wanted!r} is not a version range", place, 'write for example ">=0.1,<1"')
        except (metadata.PackageNotFoundError, ValueError):  # ValueError: no name at all
            if name not in distributions:
                known = f'pip install "{plugins.index.get(name, name)}{wanted}"'
                checker.report(
                    f"the recipe requires {f'{name} {wanted}'.strip()}, which is not installed",
                    place,
                    known if name in plugins.index else f"no known plugin; if a distribution, {known}",
                )


def _schedule(keys: Any, checker: Checker, *places: Place) -> Spec | None:
    """Check the schedule at the first of `places`. Return its Spec, or None after reporting its problems."""
    found = len(checker.problems)
    spec = checker.check("schedule", sections.schedule(keys), *places)
    return spec if len(checker.problems) == found else None


def _weights(recipe: Recipe, checker: Checker) -> dict[Key, Spec]:
    specs = {
        (group, name): _schedule(
            {"use": term.weight.use, **term.weight.params}, checker, ("losses", group, name, "weight")
        )
        for group, terms in recipe.losses.items()
        for name, term in terms.items()
    }
    return {key: spec for key, spec in specs.items() if spec is not None}


def _optimizers(recipe: Recipe, checker: Checker) -> dict[str, OptimizerSpec]:
    found = {}
    for name in recipe.networks:
        keys, places = recipe.optimizer(name), (("optimizers", name), ("optimizers", "default"))
        lr = None
        if isinstance(rate := keys.get("lr"), dict | bool) or "/" in str(rate):  # no number
            lr = _schedule(keys["lr"], checker, checker.place_of("lr", places))
            rates: Schedule | None = build(lr, {}) if lr else None
            keys["lr"] = min(rates(0), rates(recipe.steps)) if rates else 0.0  # the optimizer itself takes a number
        clip_norm = checker.read(
            OPTIMIZER_KEYS["clip_norm"], keys.pop("clip_norm", None), checker.place_of("clip_norm", places)
        )
        spec = checker.check("optimizer", keys, *places)
        if spec is not None:
            found[name] = OptimizerSpec(spec, lr, clip_norm)
    return found
