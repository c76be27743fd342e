"""Every mistake in a recipe, found before anything is built: names, keys, types, and the flow of tensors."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from i2i_core import DISTRIBUTION
from i2i_core.components import Checker, Spec
from i2i_core.data.batches import PAIR, SOURCE, TARGET
from i2i_core.errors import PluginError, Problem, RecipeError, did_you_mean
from i2i_core.events import event_problems
from i2i_core.marks import Path as Place
from i2i_core.plugins import Plugins
from i2i_core.recipe import OPTIMIZER_KEYS, Phase, Recipe, Term, Use, find_recipe, load_recipe
from i2i_core.schedules import Ramp
from i2i_core.shape import in_order
from i2i_core.tensors import Definition, PlannedPhase, Request, Scope, Unresolved, method_tensors, plan, reached

EVERY_FIELD = (*SOURCE, *TARGET, PAIR)


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
    clip_norm: dict[str, float | None] = field(default_factory=dict)
    hooks: dict[str, Spec] = field(default_factory=dict)
    trainer: Spec | None = None


def load(recipe: str | Path, sets: Sequence[str], plugins: Plugins) -> Checked:
    """Find, read and check a recipe; the launcher's mixed precision counts where the recipe names none."""
    path = find_recipe(recipe, plugins.recipes(), plugins.hint_for_recipe)
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    loaded = load_recipe(path, sets)
    if launcher not in ("no", "") and (launcher == "fp16" or ("precision",) not in loaded.document.values):
        loaded = load_recipe(path, [*sets, f"precision={launcher}"])
    return check_recipe(loaded, plugins)


def check_recipe(recipe: Recipe, plugins: Plugins) -> Checked:
    """Raises RecipeError with every problem, those of the recipe's shape included; what it returns can be built."""
    checker = Checker(plugins, recipe.document)
    checked = Checked(recipe)

    def specs(kind: str, uses: Mapping[str, Use], *section: str) -> dict[str, Spec]:
        found = {name: checker.check(kind, {"use": use.use, **use.params}, (*section, name))
                 for name, use in uses.items()}
        return {name: spec for name, spec in found.items() if spec is not None}

    method = specs("method", {"method": recipe.method}).get("method")
    checked.data = specs("dataset", {"data": recipe.data}).get("data")
    if recipe.data.validation is not None:
        own, inherited = recipe.data.validation, {"use": recipe.data.use, **recipe.data.params}
        keys = {**inherited, **own} if own.get("use", recipe.data.use) == recipe.data.use else own
        checked.validation = checker.check("dataset", keys, ("data", "validation"), ("data",))
    checked.networks = specs("network", recipe.networks, "networks")
    checked.tensors = specs("tensor", recipe.tensors, "tensors")
    checked.losses = {(group, name): spec for group, terms in recipe.losses.items()
                      for name, spec in specs("loss", terms, "losses", group).items()}
    checked.hooks = specs("hook", recipe.all_hooks(), "hooks")
    checked.trainer = specs("trainer", {"trainer": recipe.trainer}).get("trainer")
    _optimizers(checked, checker)
    _requirements(recipe, checker)
    for name, spec in checked.hooks.items():
        if inspect.isclass(spec.target):
            for problem in event_problems(spec.target):
                checker.report(problem.message, ("hooks", name), problem.hint)
    if method is not None:
        checked.method = method_tensors(method.target, method.mark)
        _data_flow(checked, checker)
    if not recipe.document.problems:
        for check in plugins.manager.hook.i2i_check.get_hookimpls():
            try:
                found: Any = check.function(*(recipe for _ in check.argnames))
                checker.problems += found or []
            except Exception as error:  # a plugin may raise anything
                raise PluginError(f"plugin {check.plugin_name} fails to check the recipe: {type(error).__name__}: "
                                  f"{error}; update or uninstall it") from error
    if checker.problems:
        raise RecipeError(in_order(checker.problems))
    return checked


def _requirements(recipe: Recipe, checker: Checker) -> None:
    plugins = checker.plugins
    # Of two distributions that bring one plugin the first is in use.
    distributions = {row.name: row.distribution for row in reversed(plugins.rows)} | {"i2i": DISTRIBUTION}
    for name, wanted in recipe.requires.items():
        place, distribution = ("requires", name), distributions.get(name, name)
        try:
            specifier = SpecifierSet(wanted)
            version = metadata.version(distribution or name)
            if not specifier.contains(version, prereleases=True):
                checker.report(f"the recipe requires {name} {wanted}, and {version} is installed", place,
                               f'pip install "{distribution}{wanted}"')
        except InvalidSpecifier:
            checker.report(f"{wanted!r} is no version range", place, 'write for example ">=0.1,<1"')
        except (metadata.PackageNotFoundError, ValueError):  # ValueError: no name at all
            if name not in distributions:
                known = f'pip install "{plugins.index.get(name, name)}{wanted}"'
                checker.report(f"the recipe requires {f'{name} {wanted}'.strip()}, which is not installed", place,
                               known if name in plugins.index else f"no known plugin; if a distribution, {known}")


def _optimizers(checked: Checked, checker: Checker) -> None:
    for name in checked.recipe.networks:
        keys, places = checked.recipe.optimizer(name), (("optimizers", name), ("optimizers", "default"))
        checked.lr[name] = None
        if isinstance(keys.get("lr"), dict):
            schedule = checker.read(OPTIMIZER_KEYS["lr"], keys["lr"], checker.place_of("lr", places))
            checked.lr[name], keys["lr"] = schedule, min(schedule.ramp) if schedule else 0.0
        clip_norm = keys.pop("clip_norm", None)
        checked.clip_norm[name] = checker.read(OPTIMIZER_KEYS["clip_norm"], clip_norm,
                                               checker.place_of("clip_norm", places))
        spec = checker.check("optimizer", keys, *places)
        if spec is not None:
            checked.optimizers[name] = spec


def definitions(method: Mapping[str, Definition], tensors: Mapping[str, Spec],
                calls: Mapping[str, Callable[..., Any]] | None = None) -> dict[str, Definition]:
    """A method's tensors, with a recipe's in place of those of the same name."""
    found = dict(method)
    for name, spec in tensors.items():
        found[name] = _definition(name, spec, (calls or {}).get(name, spec.target), found.get(name))
    return found


def requests(recipe: Recipe, specs: Mapping[tuple[str, str], Spec],
             calls: Mapping[tuple[str, str], Callable[..., Any]] | None = None) -> list[Request]:
    """What each phase asks for, as far as its losses have a Spec; without `calls` the plan can be read but not run."""
    found = []
    for name, phase in recipe.phases.items():
        terms = []
        for group in phase.losses:
            for term, use in recipe.losses.get(group, {}).items():
                if spec := specs.get((group, term)):
                    call = (calls or {}).get((group, term), spec.target)
                    loss = _definition(f"losses.{group}.{term}", spec, call)
                    terms.append((term if len(phase.losses) == 1 else f"{group}.{term}", loss, use.where))
        found.append(Request(name, phase.train, phase.where, terms))
    return found


def _definition(name: str, spec: Spec, call: Callable[..., Any], replaces: Definition | None = None) -> Definition:
    return Definition(name, call, spec.reads, spec.optional, getattr(call, "detached", False), replaces, spec.mark)


def _stand_in(name: str) -> Definition:
    """For a tensor of which only the name is known."""
    return Definition(name, lambda: None, {})


def plan_phases(scope: Scope, recipe: Recipe, asked: Sequence[Request]) -> list[PlannedPhase]:
    """Plan an iteration; raises RecipeError with every tensor that nothing makes or that needs itself."""
    aliases = _aliases(recipe)
    readers: dict[Place, Definition] = {("tensors", name): tensor for name, tensor in scope.definitions.items()}
    readers |= {_place(loss): loss for request in asked for _, loss, _ in request.terms}
    said = aliases | {(*place, argument): name for place, reader in readers.items()
                      for argument, name in reader.reads.items() if argument != name}
    known = scope.names() | {str(path[-1]) for path in recipe.document.keys if path[-2:-1] == ("where",)}
    unknown = {place: name for place, name in said.items() if name not in known}

    def hint(name: str) -> str:
        return "the data set has no true pairs" if name == PAIR else did_you_mean(name, known)

    problems = [Problem(f"nothing makes the tensor {name}", recipe.mark(*place), hint(name))
                for place, name in unknown.items()]
    read = set(aliases.values()).union(*(reader.reads.values() for reader in readers.values()))
    unread = [place for place in aliases if place[-1] not in read]
    made = {**scope.definitions, **{name: _stand_in(name) for name in unknown.values()}}
    terms = [Request(r.name, r.trains, r.where, [term]) for r in asked for term in r.terms]
    while terms:
        try:
            plan(Scope(made, scope.networks, scope.fields), terms[:1])
            terms.pop(0)
        except Unresolved as error:
            name, (_, loss, _) = error.chain[-1], terms[0].terms[0]
            reader = next((("tensors", n) for n in error.chain[-2:-1] if n in recipe.tensors), _place(loss))
            mark = recipe.mark(*next((place for place, tensor in said.items() if tensor == name), reader))
            what = f"tensor {name} needs itself" if error.cycle else f"no network or tensor is called {name}"
            needs = f"phase {terms[0].name} needs {' -> '.join((loss.name, *error.chain))}"
            if slip := next((place for place in unread if get_close_matches(name, [str(place[-1])])), None):
                problems.append(Problem(f"no tensor or loss reads {slip[-1]}", recipe.mark(*slip, key=True),
                                        f"did you mean {name}?"))
            else:
                problems.append(Problem(f"{what}: {needs}", mark, "" if error.cycle else hint(name)))
            made[name] = _stand_in(name)  # one mistake is one problem, whatever else needs it
    if problems:
        raise RecipeError(in_order(problems))
    return plan(scope, asked, share=recipe.data.accumulate == 1)  # the parts of a batch take turns in the memory


def _place(loss: Definition) -> Place:
    return tuple(loss.name.split(".", 2))


def _aliases(recipe: Recipe) -> dict[Place, str]:
    """What each alias means, by where it is written."""
    holders: dict[Place, Phase | Term] = {("phases", name): phase for name, phase in recipe.phases.items()}
    holders |= {("losses", group, name): term for group, terms in recipe.losses.items() for name, term in terms.items()}
    return {(*place, "where", alias): name for place, holder in holders.items() for alias, name in holder.where.items()}


def _data_flow(checked: Checked, checker: Checker) -> None:
    recipe = checked.recipe
    tensors = {name: _stand_in(name) for name in recipe.names("tensors")} | definitions(checked.method, checked.tensors)
    networks = recipe.names("networks")
    for name in Scope(tensors, (), EVERY_FIELD).names() & set(networks):
        what = "tensor" if name in tensors else "batch field"
        checker.report(f"{name} is both a {what} and a network", ("networks", name), "rename the network", key=True)
    try:
        planned = plan_phases(Scope(tensors, networks, EVERY_FIELD), recipe, requests(recipe, checked.losses))
    except RecipeError as error:
        checker.problems += error.problems
        return
    if not checker.problems:  # else what is of no use may be so because of the mistakes
        _of_use(checked, checker, planned)
        _players(checked, checker)


def _of_use(checked: Checked, checker: Checker, planned: Sequence[PlannedPhase]) -> None:
    """Networks learn, losses are minimised, and tensors and aliases are read."""
    recipe, aliases = checked.recipe, _aliases(checked.recipe)
    for network in recipe.networks.keys() - {name for phase in recipe.phases.values() for name in phase.train}:
        checker.report(f"network {network} is trained by no phase", ("networks", network), "add it to a phase's train",
                       key=True)
    for group in recipe.losses.keys() - {name for phase in recipe.phases.values() for name in phase.losses}:
        checker.report(f"losses.{group} is minimised by no phase", ("losses", group), key=True)
    for step in planned:
        for network in set(step.trains) - set().union(*(reached(t.arguments) for t in step.terms)):
            checker.report(f"phase {step.name} trains {network}, on which none of its losses depends",
                           ("phases", step.name, "train", step.trains.index(network)))
    if not checker.problems:  # else a network that cannot learn has said it
        moving = {term.mark for step in planned for term in step.terms if reached(term.arguments) & {*step.trains}}
        for (group, name), spec in checked.losses.items():
            if spec.mark not in moving and any(recipe.losses[group][name].weight.ramp):
                checker.report(f"losses.{group}.{name} depends on no network that its phases train",
                               ("losses", group, name), "with weight: 0 it is watched", key=True)
    reads = [tensor.reads for tensor in definitions(checked.method, checked.tensors).values()]
    reads += [loss.reads for loss in checked.losses.values()]
    read = set(aliases.values()).union(*(named.values() for named in reads))
    for name in recipe.tensors.keys() - read:
        checker.report(f"tensors.{name} is read by nothing", ("tensors", name), did_you_mean(name, read), key=True)
    for place in aliases:
        if place[-1] not in read:
            checker.report(f"no tensor or loss reads {place[-1]}", place, did_you_mean(str(place[-1]), read), key=True)


def _players(checked: Checked, checker: Checker) -> None:
    """A GAN's players play the same game against each other: bce against hinge trains, but towards nothing."""
    players = {key: spec.objective for key, spec in checked.losses.items() if spec.objective}
    sides = {checked.losses[key].params.get("player") for key in players}
    if len(players) > 1 and len(sides) == 1 and None not in sides:  # a plugin's players need not say their side
        group, name = list(players)[-1]
        checker.report(f"losses.{group}.{name} is another {sides.pop()}, and nothing plays against it",
                       ("losses", group, name, "player"), "a GAN has a discriminator and a generator")
    for (group, name), objective in players.items():
        (other_group, other), first = next(iter(players.items()))
        if objective != first:
            checker.report(f"losses.{group}.{name} plays {objective} against losses.{other_group}.{other}, which plays "
                           f"{first}", ("losses", group, name, "use"), "use one objective for both players")
