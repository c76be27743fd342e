"""Uses of a trained model: those of a recipe, or those that its phases imply."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from i2i_core.errors import Problem, did_you_mean
from i2i_core.plan.checked import Checked
from i2i_core.plan.fields import DOMAINS, PAIR, PICTURE, role_of
from i2i_core.plan.planner import PlannedTensors, Planner, Unresolved
from i2i_core.recipe.sections import ModelUse

LATENT, REFERENCE, PLAIN = "latent", "reference", "plain"
"""Sources of a style: random numbers, a picture of the target domain, or none. Uses that are found have these names."""


def style_source(planned: PlannedTensors, source: str) -> str:
    """Return the source of the style of planned tensors. source: the field of the picture to translate."""
    if reference_fields(planned, source):
        return REFERENCE
    return LATENT if any(node.random for node in planned.nodes) else PLAIN


def further_inputs(planned: PlannedTensors, use: ModelUse) -> dict[str, str]:
    """Return the inputs of a use by name, those that it does not name included, which have the names of their fields.

    These are the batch fields that are no picture: a picture is the source, or the reference of a style.
    """
    needed = sorted(name for name in planned.fields if name not in DOMAINS and role_of(name)[0] != PICTURE)
    unnamed = [name for name in needed if name not in use.inputs.values()]
    fields = [role_of(name)[0] for name in unnamed]
    found = {field if fields.count(field) == 1 else name: name for field, name in zip(fields, unnamed, strict=True)}
    return {**{name: field for name, field in use.inputs.items() if field in needed}, **found}


def found_uses(planner: Planner, checked: Checked, show: str) -> dict[str, ModelUse]:
    """Return a use for each source of styles from which a phase makes `show`, under the aliases of the first of them.

    What needs no style without aliases has none: those of phases then serve training alone, as random flips do.
    """
    uses: dict[str, ModelUse] = {}
    for where in ({}, *(phase.where for phase in checked.recipe.phases.values())):
        try:
            planned = planner.tensors([show], where)
        except Unresolved:
            continue
        if any(role_of(name)[1] == PAIR for name in planned.fields):
            continue
        kind = style_source(planned, "x_real")
        if kind not in uses:
            read = {name for node in planned.nodes if node.definition for name in node.definition.reads.values()}
            kept = {alias: name for alias, name in where.items() if alias in read}
            use = ModelUse(show=show, where=kept)
            uses[kind] = use.model_copy(update={"inputs": further_inputs(planned, use)})
        if not where and kind == PLAIN:
            break
    return uses


def use_problems(planner: Planner, checked: Checked) -> Iterator[Problem]:
    """Yield a problem for each mistake in the recipe's uses."""
    recipe = checked.recipe
    for name, use in recipe.uses.items():
        for key, field in {
            "source": use.source,
            "like": use.like,
            **{f"inputs.{n}": f for n, f in use.inputs.items()},
        }.items():
            if field is not None and field not in checked.fields:
                hint = did_you_mean(field, checked.fields)
                yield Problem(f"there is no batch field {field}", recipe.mark("uses", name, *key.split(".")), hint)
        try:
            planned = planner.tensors([use.show], use.where)
        except Unresolved as error:
            chain = f": {' -> '.join(error.chain)}" if len(error.chain) > 1 else ""
            yield Problem(
                f"use {name} needs {error.chain[-1]}, which nothing makes{chain}",
                recipe.mark("uses", name),
                did_you_mean(error.chain[-1], planner.names()),
            )
            continue
        yield from (Problem(what, recipe.mark("uses", name)) for what in _unserved(name, use, planned.fields))
        for given, why in _useless(use, {*checked.fields} - {*further_inputs(planned, use).values()}):
            yield Problem(f"the input {given} of use {name} {why}", recipe.mark("uses", name, "inputs", given))


def _useless(use: ModelUse, others: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each input that nobody could give, or to no effect, with the reason. others: fields that are no inputs."""
    stood_for = list(use.inputs.values())
    for n, (given, field) in enumerate(use.inputs.items()):
        if "=" in given:
            yield given, "has an =, which separates a name from its value; rename it"
        elif field in stood_for[:n]:
            yield given, f"stands for {field}, and another one does, too; remove one"
        elif field in others:
            yield given, f"stands for {field}, which is no further input of {use.show}; remove it"


def _unserved(name: str, use: ModelUse, fields: Collection[str]) -> Iterator[str]:
    """Yield the reasons why nobody could give a use what it needs."""
    if use.source not in fields:
        yield f"use {name} shows {use.show}, which does not depend on its source {use.source}"
    if pairs := [field for field in fields if role_of(field)[1] == PAIR and field not in use.inputs.values()]:
        yield f"use {name} needs {pairs[0]}, the true translation, which is not known after training"


def reference_fields(planned: PlannedTensors, source: str) -> frozenset[str]:
    """Return the fields of a reference's picture: all pictures but the source."""
    return frozenset(name for name in planned.fields if role_of(name)[0] == PICTURE and name != source)


def recipe_uses(planner: Planner, checked: Checked, show: str | None = None) -> Mapping[str, ModelUse]:
    """Return the uses of a recipe, or those that are found. show: find those of another tensor than x_fake."""
    if show is not None or not checked.recipe.uses:
        return found_uses(planner, checked, show or "x_fake")
    return {
        name: use.model_copy(update={"inputs": further_inputs(planner.tensors([use.show], use.where), use)})
        for name, use in checked.recipe.uses.items()
    }
