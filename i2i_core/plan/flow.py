"""The flow of tensors in a recipe: the plan of an iteration, and checks of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from i2i_core.errors import Problem, RecipeError, did_you_mean
from i2i_core.plan.checked import Checked
from i2i_core.plan.fields import PAIR, PICTURE, REAL, ROLES, in_role, role_of
from i2i_core.plan.planner import PlannedPhase, Planner, Request, RequestedTerm, Unresolved
from i2i_core.plan.tensors import BUILTIN, Definition, define_component, define_unknown, definitions, reached
from i2i_core.plan.uses import use_problems
from i2i_core.recipe import sections
from i2i_core.recipe.document import Path as Place
from i2i_core.recipe.problems import in_order
from i2i_core.recipe.sections import Recipe
from i2i_core.registry.specs import Checker

PAIRS = {
    "image_folders": "if files of one name belong together, write paired: true; if pairs stand side by side in one "
    "file, use: classics/side_by_side",
    "image_list": "write the pair of each picture in the column pair of the list",
}
"""Keys that give true pairs, by data set."""
OTHER_PAIRS = "image_folders with paired: true has them, and classics/side_by_side those of one file"


@dataclass(frozen=True)
class Built:
    """The built tensors and losses of a recipe. Without them a plan can be printed, but not run."""

    tensors: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    losses: Mapping[tuple[str, str], Callable[..., Any]] = field(default_factory=dict)


def planner_of(checked: Checked, fields: Collection[str], built: Built = Built()) -> Planner:
    """Return a planner for the tensors and networks of a recipe. fields: the batch fields that the data provides."""
    recipe = checked.recipe
    made = {name: define_unknown(name) for name in recipe.names("tensors")}  # one that is invalid is reported once
    made |= definitions(checked.method, checked.tensors, built.tensors)
    return Planner(made, recipe.names("networks"), fields)


def plan_iteration(
    planner: Planner, checked: Checked, built: Built = Built(), due: Collection[str] | None = None
) -> list[PlannedPhase]:
    """Plan an iteration of a recipe. Raises RecipeError for undefined names and tensors that need themselves.

    due: names of the phases that run in this iteration; None for all. A phase that does not run computes no tensors
    for later phases and leaves the versions of its networks as they are, so each set of phases has a plan of its own.
    """
    requests = [request for request in _requests(checked, built) if due is None or request.name in due]
    if problems := _unresolved(planner, checked.recipe, requests):
        raise RecipeError(in_order(problems))
    share = checked.recipe.data.gradient_accumulation == 1  # else tensors of all parts would stay in memory
    return planner.iteration(requests, share)


def _requests(checked: Checked, built: Built) -> list[Request]:
    """Return the request of each phase, without losses that are unknown components."""
    recipe, found = checked.recipe, []
    for name, phase in recipe.phases.items():
        terms = []
        for key in ((group, term) for group in phase.losses for term in recipe.losses.get(group, {})):
            if spec := checked.losses.get(key):
                loss = define_component(".".join(("losses", *key)), spec, built.losses.get(key, spec.target))
                use = recipe.losses[key[0]][key[1]]
                label = key[1] if len(phase.losses) == 1 else ".".join(key)
                terms.append(RequestedTerm(label, loss, checked.weight(key), use.every, use.where))
        found.append(Request(name, phase.train, phase.where, terms))
    return found


def _unresolved(planner: Planner, recipe: Recipe, requests: Sequence[Request]) -> list[Problem]:
    """Return a problem for each undefined name, and for each tensor that needs itself."""
    aliases = _aliases(recipe)
    readers: dict[Place, Definition] = {("tensors", name): tensor for name, tensor in planner.definitions.items()}
    readers |= {_place(term.loss): term.loss for request in requests for term in request.terms}
    written = aliases | {
        (*place, argument): name
        for place, reader in readers.items()
        for argument, name in reader.reads.items()
        if argument != name
    }
    known = planner.names() | {str(path[-1]) for path in recipe.document.keys if path[-2:-1] == ("where",)}
    unknown = {place: name for place, name in written.items() if name not in known}

    def hint(name: str) -> str:
        field, role = role_of(name)
        if role == PAIR and in_role(field, REAL) in known:
            refused = recipe.data.params.get("paired") is False
            how = "leave out paired: false" if refused else PAIRS.get(recipe.data.use, OTHER_PAIRS)
            return f"the data set has no true pairs; {how}"
        close, named = did_you_mean(name, known), name.partition("_")[0]
        if not role and in_role(named, REAL) in known and not close.startswith("did"):
            return f"the roles of the field {named} are {', '.join(ROLES)}"
        return close

    problems = [
        Problem(f"nothing makes the tensor {name}", recipe.mark(*place), hint(name)) for place, name in unknown.items()
    ]
    read = set(aliases.values()).union(*(reader.reads.values() for reader in readers.values()))
    unread = [place for place in aliases if place[-1] not in read]
    made = {**planner.definitions, **{name: define_unknown(name) for name in unknown.values()}}
    alone = [Request(r.name, r.trains, r.where, [term]) for r in requests for term in r.terms]
    while alone:
        try:
            Planner(made, planner.networks, planner.fields).iteration(alone[:1])
            alone.pop(0)
        except Unresolved as error:
            name, loss = error.chain[-1], alone[0].terms[0].loss
            reader = next((("tensors", n) for n in error.chain[-2:-1] if n in recipe.tensors), _place(loss))
            mark = recipe.mark(*next((place for place, tensor in written.items() if tensor == name), reader))
            what = f"tensor {name} needs itself" if error.cycle else f"no network or tensor is called {name}"
            needs = f"phase {alone[0].name} needs {' -> '.join((loss.name, *error.chain))}"
            if slip := next((place for place in unread if get_close_matches(name, [str(place[-1])])), None):
                problems.append(
                    Problem(
                        f"no tensor or loss reads {slip[-1]}", recipe.mark(*slip, key=True), f"did you mean {name}?"
                    )
                )
            else:
                problems.append(Problem(f"{what}: {needs}", mark, "" if error.cycle else hint(name)))
            made[name] = define_unknown(name)  # one problem for each mistake, however many tensors need it
    return problems


def _place(loss: Definition) -> Place:
    return tuple(loss.name.split(".", 2))


def _aliases(recipe: Recipe) -> dict[Place, str]:
    """Return the tensor of each alias, by the alias's path in the recipe."""
    holders: dict[Place, sections.Phase | sections.Term] = {}
    holders |= {("phases", name): phase for name, phase in recipe.phases.items()}
    holders |= {("losses", group, name): term for group, terms in recipe.losses.items() for name, term in terms.items()}
    return {(*place, "where", alias): name for place, holder in holders.items() for alias, name in holder.where.items()}


def check_flow(checked: Checked, checker: Checker) -> None:
    """Report problems in the flow of tensors: names, cycles, unused networks and losses, mismatched GAN losses."""
    planner = planner_of(checked, checked.fields)
    networks = checked.recipe.names("networks")
    for name in {*planner.definitions, *checked.fields, *BUILTIN} & {*networks}:
        what = "tensor" if name in planner.definitions else "batch field"
        checker.report(f"{name} is both a {what} and a network", ("networks", name), "rename the network", key=True)
    for name in sorted((planner.definitions.keys() - checked.recipe.tensors.keys()) & {*checked.fields}):
        if (named := role_of(name)[0]) != PICTURE:
            what = f"{name} is both a tensor of the method and the field {named} in a batch"
            checker.report(what, ("data", "fields", named), "rename the field", key=True)
    try:
        planned = plan_iteration(planner, checked)
    except RecipeError as error:
        checker.problems += error.problems
        return
    checker.problems += use_problems(planner, checked)
    if not checker.problems:  # else entries may be unused because of these problems
        _of_use(checked, checker, planned)
        _players(checked, checker)


def _of_training(recipe: Recipe, checker: Checker) -> None:
    """Report networks that no phase trains, frozen ones that a phase trains, and phases that never run."""
    trained = {name for phase in recipe.phases.values() for name in phase.train}
    for name in recipe.networks.keys() - trained:
        if not recipe.networks[name].frozen:
            hint = "add it to a phase's train, or set frozen: true"
            checker.report(f"no phase trains network {name}", ("networks", name), hint, key=True)
    for name, phase in recipe.phases.items():
        for index, network in enumerate(phase.train):
            if network in recipe.networks and recipe.networks[network].frozen:
                place = ("phases", name, "train", index)
                checker.report(f"phase {name} trains {network}, which is frozen", place, "remove one of the two")
        if phase.first >= (end := min(recipe.steps, phase.until or recipe.steps)):
            what = f"phase {name} never runs: its first step would be {phase.first:,}, and it ends at step {end:,}"
            longer = "raise steps" if end == recipe.steps else "raise until"
            checker.report(what, ("phases", name), f"{longer}, or lower after" if phase.after else longer, key=True)


def _of_use(checked: Checked, checker: Checker, planned: Sequence[PlannedPhase]) -> None:
    """Report networks and phases without training, losses that nothing minimises, and names that nothing reads."""
    recipe, aliases = checked.recipe, _aliases(checked.recipe)
    _of_training(recipe, checker)
    for group in recipe.losses.keys() - {name for phase in recipe.phases.values() for name in phase.losses}:
        checker.report(f"no phase minimises losses.{group}", ("losses", group), key=True)
    for step in planned:
        for network in set(step.trains) - set().union(*(reached(t.arguments) for t in step.terms)):
            checker.report(
                f"phase {step.name} trains {network}, but none of its losses depends on it",
                ("phases", step.name, "train", step.trains.index(network)),
            )
    if not checker.problems:  # else the network that cannot learn is reported
        moving = {term.mark for step in planned for term in step.terms if reached(term.arguments) & {*step.trains}}
        for (group, name), spec in checked.losses.items():
            if spec.mark not in moving and not checked.is_watched((group, name)):
                checker.report(
                    f"losses.{group}.{name} depends on no network that its phases train",
                    ("losses", group, name),
                    "set weight: 0 to log it only",
                    key=True,
                )
    reads = [tensor.reads for tensor in definitions(checked.method, checked.tensors).values()]
    reads += [loss.reads for loss in checked.losses.values()]
    read = set(aliases.values()).union(*(named.values() for named in reads))
    for name in recipe.tensors.keys() - read:
        checker.report(f"nothing reads tensors.{name}", ("tensors", name), did_you_mean(name, read), key=True)
    for place in aliases:
        if place[-1] not in read:
            checker.report(f"no tensor or loss reads {place[-1]}", place, did_you_mean(str(place[-1]), read), key=True)


def _players(checked: Checked, checker: Checker) -> None:
    """Report GAN losses without an opponent, and players with different objectives, such as bce against hinge."""
    players = {key: spec.objective for key, spec in checked.losses.items() if spec.objective}
    sides = {checked.losses[key].params.get("player") for key in players}
    if len(players) > 1 and len(sides) == 1 and None not in sides:  # a plugin's losses need not name their player
        group, name = list(players)[-1]
        checker.report(
            f"losses.{group}.{name} is another {sides.pop()}, and no loss is its opponent",
            ("losses", group, name, "player"),
            "a GAN has a discriminator and a generator",
        )
    for (group, name), objective in players.items():
        (other_group, other), first = next(iter(players.items()))
        if objective != first:
            checker.report(
                f"losses.{group}.{name} uses {objective}, but losses.{other_group}.{other} uses {first}",
                ("losses", group, name, "use"),
                "use one objective for both players",
            )
