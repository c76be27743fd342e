"""The subcommand `i2i validate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from .common import print_json, subcommand, with_json, with_plugins, with_sets

if TYPE_CHECKING:
    from i2i_core.errors import Problem
    from i2i_core.plan.checked import Checked
    from i2i_core.registry.plugins import Plugins


@subcommand
@click.argument("recipe")
@with_sets
@with_json
@with_plugins
def validate(plugins: Plugins, recipe: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Check RECIPE for mistakes without training.

    Checks names, keys, types, the flow of tensors, the data and the sizes of the networks, and reports all mistakes,
    each as file:line:column: message (hint). Exits with code 2 for mistakes in the recipe, 3 for mistakes in its data.

    \b
    i2i validate my.yaml
    i2i validate stargan_v2.yaml --set data.image_size=100
    """
    from i2i_core.errors import I2IError, Problem, RecipeError
    from i2i_core.plan.check import load

    try:
        build_nothing(load(recipe, sets, plugins))
    except I2IError as error:
        if not as_json:
            raise
        problems = error.problems if isinstance(error, RecipeError) else [Problem(str(error))]
        print_json({"valid": False, "problems": [_plain(problem) for problem in problems]})
        raise SystemExit(error.exit_code) from None
    if as_json:
        print_json({"valid": True, "problems": []})
    else:
        click.echo(f"{recipe} is valid")


def build_nothing(checked: Checked) -> None:
    """Build the data, then every component on the meta device, where tensors have shapes but no memory.

    Raises DataError, or RecipeError with all components that cannot be built or planned with this data.
    """
    import warnings

    import torch

    from i2i_core.data.cache import refuse_cache
    from i2i_core.data.sets import build_data
    from i2i_core.data.transforms import transforms_of
    from i2i_core.errors import RecipeError
    from i2i_core.plan.fields import DOMAINS
    from i2i_core.plan.flow import plan_iteration, planner_of
    from i2i_core.registry.specs import build
    from i2i_core.training.assembly import build_networks
    from i2i_core.training.network_optimizer import divided

    recipe = checked.recipe
    problems: list[Problem] = []
    data = build_data(checked)
    planner = planner_of(checked, (*DOMAINS, *data.layouts))
    others = [*checked.tensors.values(), *checked.losses.values(), *checked.hooks.values(), checked.trainer]

    def networks() -> None:
        for name, network in build_networks(checked, data.facts, recipe.seed).items():
            if name in checked.optimizers:
                divided(name, network, checked.optimizers[name])

    def plan() -> None:
        planned = plan_iteration(planner, checked)
        transforms_of(checked, data.layouts, {name for phase in planned for name in phase.fields})

    attempts: list[Callable[[], object]] = [
        partial(refuse_cache, data.train, recipe),
        networks,
        *(partial(build, spec, {**data.facts, "name": ""}) for spec in others if spec is not None),
        plan,
    ]
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*meta parameter.*")  # weights cannot be loaded to the meta device
        for attempt in attempts:
            try:
                attempt()
            except RecipeError as error:
                problems += error.problems
    if problems:
        raise RecipeError(problems)


def _plain(problem: Problem) -> dict[str, object]:
    place = vars(problem.mark) if problem.mark else {"file": None, "line": 0, "column": 0}
    return {**place, "message": problem.message, "hint": problem.hint}
