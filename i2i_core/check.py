"""Every mistake in a recipe, found before anything is built: names, keys, types, and the flow of tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import ModuleType
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import TypeAdapter, ValidationError

from i2i_core.components import Checker, Spec
from i2i_core.data.batches import SOURCE, TARGET
from i2i_core.errors import Problem, RecipeError, did_you_mean
from i2i_core.events import event_problems
from i2i_core.plugins import Plugins
from i2i_core.recipe import Data, Recipe, schema_problem
from i2i_core.schedules import Ramp, Schedule
from i2i_core.tensors import (
    Definition,
    PlannedPhase,
    Request,
    Scope,
    Unresolved,
    method_tensors,
    plan,
    reached,
)

EVERY_FIELD = (*SOURCE, *TARGET, "x_pair")


@dataclass
class Checked:
    """A recipe whose names have been found: a Spec for every component."""

    recipe: Recipe
    method: dict[str, Definition] = field(default_factory=dict)
    data: Spec | None = None
    validation: Spec | None = None
    networks: dict[str, Spec] = field(default_factory=dict)
    tensors: dict[str, Spec] = field(default_factory=dict)
    losses: dict[tuple[str, str], Spec] = field(default_factory=dict)
    optimizers: dict[str, Spec] = field(default_factory=dict)
    lr: dict[str, Ramp | None] = field(default_factory=dict)
    hooks: dict[str, Spec] = field(default_factory=dict)
    trainer: Spec | None = None


def check_recipe(recipe: Recipe, plugins: Plugins) -> Checked:
    """Raises RecipeError with every problem; what it returns can be built."""
    checker = Checker(plugins.registry, recipe.document, plugins.index)
    checked = Checked(recipe)
    _requirements(recipe, checker, plugins)
    method = checker.check("method", recipe.method.use, recipe.method.params, ("method",))
    if method is not None and isinstance(method.target, ModuleType):
        checked.method = method_tensors(method.target)
    checked.data = checker.check("dataset", recipe.data.use, recipe.data.params, ("data",), tuple(Data.model_fields))
    if recipe.data.validation is not None:
        own = recipe.data.validation
        checked.validation = checker.check("dataset", own.get("use", recipe.data.use),
                                           {**recipe.data.params, **{k: v for k, v in own.items() if k != "use"}},
                                           ("data", "validation"))
    _each(checker, "network", recipe.networks, "networks", checked.networks)
    _each(checker, "tensor", recipe.tensors, "tensors", checked.tensors)
    for group, terms in recipe.losses.items():
        for name, term in terms.items():
            spec = checker.check("loss", term.use, term.params, ("losses", group, name))
            if spec is not None:
                checked.losses[group, name] = spec
    _optimizers(recipe, checker, checked)
    _each(checker, "hook", recipe.all_hooks(), "hooks", checked.hooks)
    for name, spec in checked.hooks.items():
        if inspect.isclass(spec.target):
            for problem in event_problems(spec.target):
                checker.report(problem.message, ("hooks", name), problem.hint)
    checked.trainer = checker.check("trainer", recipe.trainer.use, recipe.trainer.params, ("trainer",))
    _phases(recipe, checker)
    if not any(p.mark and p.mark.file == recipe.document.file for p in checker.problems) and method is not None:
        _data_flow(checked, checker)
    for problems in plugins.manager.hook.i2i_check(recipe=recipe):
        checker.problems += problems
    if checker.problems:
        raise RecipeError(sorted(set(checker.problems), key=_position))
    return checked


def _position(problem: Problem) -> tuple[str, int, int]:
    return (problem.mark.file, problem.mark.line, problem.mark.column) if problem.mark else ("", 0, 0)


def _each(checker: Checker, kind: str, uses: Mapping[str, Any], section: str, into: dict[str, Spec]) -> None:
    for name, use in uses.items():
        spec = checker.check(kind, use.use, use.params, (section, name))
        if spec is not None:
            into[name] = spec


def _requirements(recipe: Recipe, checker: Checker, plugins: Plugins) -> None:
    distributions = {row.name: row.distribution for row in plugins.rows} | {"i2i": "i2i"}
    for name, wanted in recipe.requires.items():
        place = ("requires", name)
        distribution = distributions.get(name, name)
        try:
            version = metadata.version(distribution or name)
            if not SpecifierSet(wanted).contains(version, prereleases=True):
                checker.report(f"the recipe requires {name} {wanted}, and {version} is installed", place,
                               f'pip install "{distribution}{wanted}"')
        except InvalidSpecifier:
            checker.report(f"{wanted!r} is no version range", place, 'write for example ">=0.1,<1"')
        except metadata.PackageNotFoundError:
            if name not in distributions:
                checker.report(f"the recipe requires {name}, which is not installed", place,
                               f"pip install {plugins.index.get(name, name)}")


def _optimizers(recipe: Recipe, checker: Checker, checked: Checked) -> None:
    for name in recipe.optimizers:
        if name != "default" and name not in recipe.networks:
            checker.report(f"optimizers.{name} is for no network", ("optimizers", name),
                           did_you_mean(name, [*recipe.networks, "default"]), key=True)
    for name in recipe.networks:
        keys = recipe.optimizer(name)
        use, lr = str(keys.pop("use")), keys.get("lr")
        section = name if name in recipe.optimizers else "default"
        checked.lr[name] = None
        if isinstance(lr, dict):
            place = ("optimizers", section if "lr" in recipe.optimizers.get(section, {}) else "default", "lr")
            try:
                checked.lr[name] = schedule = TypeAdapter(Schedule).validate_python(lr)
                keys["lr"] = schedule(0)
            except ValidationError as error:
                checker.problems += [schema_problem(e, recipe.document, place, list(Ramp.model_fields))
                                     for e in error.errors()]
                continue
        spec = checker.check("optimizer", use, keys, ("optimizers", section))
        if spec is not None:
            checked.optimizers[name] = spec


def _phases(recipe: Recipe, checker: Checker) -> None:
    for name, phase in recipe.phases.items():
        for i, network in enumerate(phase.train):
            if network not in recipe.networks:
                checker.report(f"phase {name} trains {network}, which is no network of the recipe",
                               ("phases", name, "train", i), did_you_mean(network, recipe.networks))
        for group in phase.groups:
            if group not in recipe.losses:
                checker.report(f"phase {name} minimises {group}, which is no group of losses",
                               ("phases", name, "losses"), did_you_mean(group, recipe.losses))
    trained = {network for phase in recipe.phases.values() for network in phase.train}
    for network in recipe.networks.keys() - trained:
        checker.report(f"network {network} is trained by no phase", ("networks", network),
                       "add it to a phase's train", key=True)
    used = {group for phase in recipe.phases.values() for group in phase.groups}
    for group in recipe.losses.keys() - used:
        checker.report(f"losses.{group} is minimised by no phase", ("losses", group), key=True)


def definitions(checked: Checked, calls: Mapping[str, Callable[..., Any]] | None = None) -> dict[str, Definition]:
    """The method's tensors, with the recipe's in place of those of the same name."""
    found = dict(checked.method)
    for name, spec in checked.tensors.items():
        call = (calls or {}).get(name, spec.target)
        found[name] = _definition(name, spec, call, found.get(name))
    return found


def requests(recipe: Recipe, specs: Mapping[tuple[str, str], Spec],
             calls: Mapping[tuple[str, str], Callable[..., Any]] | None = None) -> list[Request]:
    """What each phase asks for; without `calls` the plan can be read but not run."""
    found = []
    for name, phase in recipe.phases.items():
        terms = [(term if len(phase.groups) == 1 else f"{group}.{term}",
                  _definition(f"losses.{group}.{term}", specs[group, term],
                              (calls or {}).get((group, term), specs[group, term].target)), use.where)
                 for group in phase.groups for term, use in recipe.losses[group].items()]
        found.append(Request(name, phase.train, phase.where, terms))
    return found


def _definition(name: str, spec: Spec, call: Callable[..., Any], replaces: Definition | None = None) -> Definition:
    return Definition(name, call, {w: spec.reads.get(w, w) for w in spec.wants}, spec.signature.optional,
                      getattr(call, "detached", False), replaces)


def plan_phases(scope: Scope, recipe: Recipe, asked: Iterable[Request]) -> list[PlannedPhase]:
    """Plan an iteration; raises RecipeError for a tensor that nothing makes or that needs itself."""
    asked = list(asked)
    problems: list[Problem] = []
    for request in asked:  # each term alone, so that every unresolved name is reported
        for term in request.terms:
            try:
                plan(scope, [Request(request.name, request.trains, request.where, [term])])
            except Unresolved as error:
                problems.append(_unresolved(error, request, term[1].name, scope, recipe))
    if problems:
        raise RecipeError(list(dict.fromkeys(problems)))
    return plan(Scope(scope.definitions, scope.networks, scope.fields), asked)


def _unresolved(error: Unresolved, request: Request, loss: str, scope: Scope, recipe: Recipe) -> Problem:
    name = error.chain[-1]
    alias = next((key for key, value in request.where.items() if value == error.chain[0]), None)
    place = ("phases", request.name, "where", alias) if alias and len(error.chain) == 1 else tuple(loss.split("."))
    mark = recipe.mark(*place)
    chain = " -> ".join((loss, *error.chain))
    if error.cycle:
        return Problem(f"tensor {name} needs itself: {chain}", mark)
    return Problem(f"nothing makes the tensor {name}, which {chain} needs in phase {request.name}", mark,
                   did_you_mean(name, scope.names()))


def _data_flow(checked: Checked, checker: Checker) -> None:
    recipe = checked.recipe
    found = definitions(checked)
    scope = Scope(found, recipe.networks, EVERY_FIELD)
    for name in found.keys() & recipe.networks.keys():
        checker.report(f"{name} is both a tensor and a network", ("networks", name), "rename the network", key=True)
    read = {r for d in found.values() for r in d.reads.values()}
    read |= {s.reads.get(w, w) for s in checked.losses.values() for w in s.wants}
    for name in recipe.tensors.keys() - read:
        checker.report(f"tensors.{name} is read by nothing", ("tensors", name), did_you_mean(name, read), key=True)
    for name, phase in recipe.phases.items():
        for alias in phase.where.keys() - read:
            checker.report(f"no tensor or loss reads {alias}", ("phases", name, "where", alias),
                           did_you_mean(alias, read), key=True)
    try:
        planned = plan_phases(scope, recipe, requests(recipe, checked.losses))
    except RecipeError as error:
        checker.problems += error.problems
        return
    for step in planned:
        for network in set(step.trains) - set().union(*(reached(t.arguments) for t in step.terms)):
            checker.report(f"phase {step.name} trains {network}, on which none of its losses depends",
                           ("phases", step.name, "train", step.trains.index(network)))
    _one_objective(checked, checker)


def _one_objective(checked: Checked, checker: Checker) -> None:
    """The players of a GAN must play the same game: bce against hinge trains, but towards nothing."""
    first: tuple[str, str] | None = None
    for (group, name), spec in checked.losses.items():
        try:
            objective = getattr(spec.target(**spec.params), "objective", None) if not spec.signature.wants else None
        except (TypeError, ValueError):
            continue
        if objective is None:
            continue
        if first is None:
            first = (f"losses.{group}.{name}", objective)
        elif first[1] != objective:
            checker.report(f"losses.{group}.{name} plays {objective} against {first[0]}, which plays {first[1]}",
                           ("losses", group, name, "use"), "use one objective for both players")

