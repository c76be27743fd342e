"""Every mistake in a recipe, found before anything is built: names, keys, types, and the flow of tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from i2i_core.marks import Path as Place
from i2i_core.plugins import Plugins
from i2i_core.recipe import Data, Recipe, Term
from i2i_core.schedules import Ramp, Schedule
from i2i_core.shape import in_order, shape_problems
from i2i_core.tensors import (
    BUILTIN,
    Definition,
    PlannedPhase,
    Request,
    Scope,
    Unresolved,
    method_tensors,
    plan,
    reached,
)

LossTerm = tuple[str, Definition, Mapping[str, str]]
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
    """Raises RecipeError with every problem, those of the recipe's shape included; what it returns can be built."""
    checker = Checker(plugins, recipe.document)
    checker.problems += recipe.problems
    checked = Checked(recipe)
    _requirements(recipe, checker, plugins)
    method = checker.check("method", recipe.method.use, recipe.method.params, ("method",))
    if method is not None and isinstance(method.target, ModuleType):
        checked.method = method_tensors(method.target)
    _data(recipe, checker, checked)
    _each(checker, "network", recipe.networks, "networks", checked.networks)
    _each(checker, "tensor", recipe.tensors, "tensors", checked.tensors)
    for group, terms in recipe.losses.items():
        for name, term in terms.items():
            spec = checker.check("loss", term.use, term.params, ("losses", group, name), reserved=Term.model_fields)
            if spec is not None:
                checked.losses[group, name] = spec
    _optimizers(recipe, checker, checked)
    _each(checker, "hook", recipe.all_hooks(), "hooks", checked.hooks)
    for name, spec in checked.hooks.items():
        if inspect.isclass(spec.target):
            for problem in event_problems(spec.target):
                checker.report(problem.message, ("hooks", name), problem.hint)
    checked.trainer = checker.check("trainer", recipe.trainer.use, recipe.trainer.params, ("trainer",))
    if recipe.whole:
        _phases(recipe, checker)
        if method is not None:
            _data_flow(checked, checker)
        for problems in plugins.manager.hook.i2i_check(recipe=recipe):
            checker.problems += problems
    if checker.problems:
        raise RecipeError(in_order(checker.problems))
    return checked


def _data(recipe: Recipe, checker: Checker, checked: Checked) -> None:
    data, own = recipe.data, recipe.data.validation
    checked.data = checker.check("dataset", data.use, data.params, ("data",), reserved=Data.model_fields)
    if own is not None:
        keys, known = {**data.params, **own}, checker.problems
        checker.problems = []
        checked.validation = checker.check("dataset", str(keys.pop("use", data.use)), keys, ("data", "validation"),
                                           inherits=("data",))
        reported = {problem.mark for problem in known}  # what is wrong with inherited keys was found with `data`
        checker.problems = known + [problem for problem in checker.problems if problem.mark not in reported]


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
        except (metadata.PackageNotFoundError, ValueError):  # ValueError: no name at all
            if name not in distributions:
                checker.report(f"the recipe requires {name}, which is not installed", place,
                               f"pip install {plugins.index.get(name, name)}")


def _optimizers(recipe: Recipe, checker: Checker, checked: Checked) -> None:
    for name in recipe.optimizers:
        if name != "default" and name not in recipe.networks and recipe.whole:
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
                checker.problems += shape_problems(error.errors(), recipe.document, place, lambda _: Ramp.model_fields)
                continue
        same = use == recipe.optimizers.get("default", {}).get("use", "adam")
        shared = ("optimizers", "default") if same and "default" in recipe.optimizers else ()
        spec = checker.check("optimizer", use, keys, ("optimizers", section), inherits=shared)
        if spec is not None:
            checked.optimizers[name] = spec


def _phases(recipe: Recipe, checker: Checker) -> None:
    for name, phase in recipe.phases.items():
        for section, names, known, does, what in (
                ("train", phase.train, recipe.networks, "trains", "network of the recipe"),
                ("losses", phase.losses, recipe.losses, "minimises", "group of losses")):
            for i, wanted in enumerate(names):
                place = ("phases", name, section, i)
                if wanted not in known:
                    checker.report(f"phase {name} {does} {wanted}, which is no {what}", place,
                                   did_you_mean(wanted, known))
                elif wanted in names[:i]:
                    checker.report(f"phase {name} {does} {wanted} twice", place)
    trained = {network for phase in recipe.phases.values() for network in phase.train}
    if trained <= recipe.networks.keys():  # else one of the others was meant
        for network in recipe.networks.keys() - trained:
            checker.report(f"network {network} is trained by no phase", ("networks", network),
                           "add it to a phase's train", key=True)
    used = {group for phase in recipe.phases.values() for group in phase.losses}
    if used <= recipe.losses.keys():
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
    """What each phase asks for, as far as its losses have a Spec; without `calls` the plan can be read but not run."""
    found = []
    for name, phase in recipe.phases.items():
        terms = [(term if len(phase.losses) == 1 else f"{group}.{term}",
                  _definition(f"losses.{group}.{term}", specs[group, term],
                              (calls or {}).get((group, term), specs[group, term].target)), use.where)
                 for group in phase.losses for term, use in recipe.losses.get(group, {}).items()
                 if (group, term) in specs]
        found.append(Request(name, phase.train, phase.where, terms))
    return found


def _definition(name: str, spec: Spec, call: Callable[..., Any], replaces: Definition | None = None) -> Definition:
    return Definition(name, call, {w: spec.reads.get(w, w) for w in spec.wants}, spec.optional,
                      getattr(call, "detached", False), replaces)


def plan_phases(scope: Scope, recipe: Recipe, asked: Iterable[Request]) -> list[PlannedPhase]:
    """Plan an iteration; raises RecipeError for a tensor that nothing makes or that needs itself."""
    asked = list(asked)
    problems: dict[tuple[str, str | Place], Problem] = {}  # by name and who says it: one mistake stops many losses
    for request in asked:
        for term in request.terms:
            for error in _unresolved(scope, request, term):
                name, loss = error.chain[-1], term[1].name
                asker = (loss, *error.chain)[-2]
                place = _who_says(name, asker, request, term, scope)
                chain = " -> ".join((loss, *error.chain))
                said, hint = f"tensor {name} needs itself: {chain}", ""
                if not error.cycle:
                    what = "nothing makes the tensor" if place else "no network or tensor is called"
                    said = f"{what} {name}, which phase {request.name} needs: {chain}"
                    hint = did_you_mean(name, scope.names())
                mark = recipe.mark(*(place or loss.split(".", 2)))
                problems.setdefault((name, place or asker), Problem(said, mark, hint))
    if problems:
        raise RecipeError(in_order(problems.values()))
    return plan(Scope(scope.definitions, scope.networks, scope.fields), asked)


def _unresolved(scope: Scope, request: Request, term: LossTerm) -> Iterator[Unresolved]:
    """Every name without a meaning that a loss needs: after each, what it stands for is taken to be made."""
    made = dict(scope.definitions)
    while True:
        try:
            plan(Scope(made, scope.networks, scope.fields),
                 [Request(request.name, request.trains, request.where, [term])])
            return
        except Unresolved as error:
            yield error
            if error.cycle:
                return
            made[error.chain[-1]] = Definition(error.chain[-1], lambda: None, {})


def _who_says(name: str, asker: str, request: Request, term: LossTerm, scope: Scope) -> Place:
    """Where a recipe says `name`: in an alias, or among the keys of what reads it; () when the method says it."""
    loss = tuple(term[1].name.split(".", 2))
    for place, where in (((*loss, "where"), term[2]), (("phases", request.name, "where"), request.where)):
        for alias in (a for a, meant in where.items() if meant == name):
            return (*place, alias)
    reader, place = (term[1], loss) if asker == term[1].name else (scope.definitions[asker], ("tensors", asker))
    return next(((*place, argument) for argument, read in reader.reads.items() if argument != read == name), ())


def _data_flow(checked: Checked, checker: Checker) -> None:
    recipe = checked.recipe
    found = definitions(checked)
    found |= {name: Definition(name, lambda: None, {}) for name in recipe.tensors.keys() - checked.tensors.keys()}
    scope = Scope(found, recipe.networks, EVERY_FIELD)
    for what, names in (("tensor", found), ("batch field", (*EVERY_FIELD, *BUILTIN))):
        for name in recipe.networks.keys() & set(names):
            checker.report(f"{name} is both a {what} and a network", ("networks", name), "rename the network", key=True)
    sure = not checker.problems
    try:
        planned = plan_phases(scope, recipe, requests(recipe, checked.losses))
    except RecipeError as error:
        checker.problems += error.problems
        return
    if not sure:  # what is unused or unreachable may be so because of the mistakes found before
        return
    read = {r for d in found.values() for r in d.reads.values()}
    read |= {s.reads.get(w, w) for s in checked.losses.values() for w in s.wants}
    for name in recipe.tensors.keys() - read:
        checker.report(f"tensors.{name} is read by nothing", ("tensors", name), did_you_mean(name, read), key=True)
    for place, where in _aliases(recipe):
        for alias in where.keys() - read - set(where.values()):
            checker.report(f"no tensor or loss reads {alias}", (*place, alias), did_you_mean(alias, read), key=True)
    for step in planned:
        for network in set(step.trains) - set().union(*(reached(t.arguments) for t in step.terms)):
            checker.report(f"phase {step.name} trains {network}, on which none of its losses depends",
                           ("phases", step.name, "train", step.trains.index(network)))
    _one_objective(checked, checker)


def _aliases(recipe: Recipe) -> Iterator[tuple[Place, Mapping[str, str]]]:
    for name, phase in recipe.phases.items():
        yield ("phases", name, "where"), phase.where
    for group, terms in recipe.losses.items():
        for name, term in terms.items():
            yield ("losses", group, name, "where"), term.where


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

