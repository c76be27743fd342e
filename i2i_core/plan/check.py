"""Checks of a recipe before anything is built: names, keys, types, and the flow of tensors."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pluggy import HookImpl

from i2i_core import DISTRIBUTION
from i2i_core.errors import PluginError, Problem, RecipeError
from i2i_core.interfaces import Schedule
from i2i_core.plan.checked import Checked, Key, OptimizerSpec, ParameterPart
from i2i_core.plan.flow import check_flow
from i2i_core.plan.tensors import method_tensors
from i2i_core.recipe.document import Path as Place
from i2i_core.recipe.document import json_in_yaml
from i2i_core.recipe.problems import in_order
from i2i_core.recipe.reading import NOTHING, find_recipe, load_recipe, parse_recipe
from i2i_core.recipe.sections import OPTIMIZER_KEYS, Recipe, Use, is_schedule
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
    for number, use in enumerate(recipe.data.augment.also):
        keys = {"use": use.use, **use.params}
        if spec := checker.check("transform", keys, ("data", "augment", "also", number)):
            checked.transforms.append(spec)
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
            checker.problems += _found_by(check, recipe)
    if checker.problems:
        raise RecipeError(in_order(checker.problems))
    return checked


def _found_by(check: HookImpl, recipe: Recipe) -> list[Problem]:
    """Return the problems that a plugin finds in a recipe. Raises PluginError if it fails, or returns anything else."""
    try:
        found: Any = check.function(*(recipe for _ in check.argnames))
        problems = [] if found is None else list(found)
        if not all(isinstance(problem, Problem) for problem in problems):
            raise TypeError(f"i2i_check returns {' '.join(repr(found).split())[:80]} instead of a list of Problem")
    except BaseException as error:  # a plugin may raise anything
        if type(error) is KeyboardInterrupt:
            raise
        raise PluginError(
            f"plugin {check.plugin_name} fails to check the recipe: {type(error).__name__}: {error}; update or "
            f"uninstall it"
        ) from error
    return problems


def _requirements(recipe: Recipe, checker: Checker) -> None:
    plugins = checker.plugins
    # Of two rows of one plugin, the first is in use, if any is.
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


def _weights(recipe: Recipe, checker: Checker) -> dict[Key, Spec]:
    specs = {
        (group, name): checker.schedule(
            {"use": term.weight.use, **term.weight.params}, ("losses", group, name, "weight")
        )
        for group, terms in recipe.losses.items()
        for name, term in terms.items()
    }
    return {key: spec for key, spec in specs.items() if spec is not None}


def _optimizers(recipe: Recipe, checker: Checker) -> dict[str, OptimizerSpec]:
    found = {}
    for name, network in recipe.networks.items():
        if network.frozen:
            if name in recipe.optimizers:
                checker.report(f"network {name} is frozen, so it has no optimizer", ("optimizers", name), key=True)
            continue
        keys, places = recipe.optimizer(name), (("optimizers", name), ("optimizers", "default"))
        core = {
            key: checker.read(hint, keys.pop(key), checker.place_of(key, places))
            for key, hint in OPTIMIZER_KEYS.items()
            if key in keys
        }
        changing = {
            key: _changing(value, checker, checker.place_of(key, places))
            for key, value in keys.items()
            if key != "use" and any(map(is_schedule, value if isinstance(value, list) else [value]))
        }
        schedules = {key: at for key, at in changing.items() if at is not None}
        if len(schedules) < len(changing):
            continue
        problems, specs = len(checker.problems), []
        for step in (0, recipe.steps):  # each key has to be valid at both
            if len(checker.problems) == problems:
                now = {key: at(step) for key, at in schedules.items()}
                specs.append(checker.check("optimizer", {**keys, **now}, *places))
        parts, place = core.get("parts") or {}, checker.place_of("parts", places)
        if spec := specs[0]:
            marked = [ParameterPart(p, part.lr_scale, recipe.mark(*place, p, key=True)) for p, part in parts.items()]
            found[name] = OptimizerSpec(spec, schedules, core.get("clip_norm"), marked)
    return found


def _changing(value: Any, checker: Checker, place: Place) -> Callable[[int], Any] | None:
    """Return an optimizer's schedule, or its list with schedules, as a function of the step; None if it is invalid."""
    if isinstance(value, list):
        parts = {n: _changing(item, checker, (*place, n)) for n, item in enumerate(value) if is_schedule(item)}
        made = {n: part for n, part in parts.items() if part is not None}
        if len(made) < len(parts):
            return None
        return lambda step: [made[n](step) if n in made else item for n, item in enumerate(value)]
    spec = checker.schedule(value, place)
    schedule: Schedule | None = build(spec, {}) if spec else None
    return schedule
