"""The subcommand `i2i explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .common import new_table, print_json, print_tables, subcommand, with_json, with_plugins, with_sets

if TYPE_CHECKING:
    from rich.console import RenderableType

    from i2i_core.interfaces import Schedule
    from i2i_core.plan.checked import Checked
    from i2i_core.plan.planner import PlannedPhase
    from i2i_core.plan.tensors import Arguments, Node
    from i2i_core.recipe.sections import Use
    from i2i_core.registry.plugins import Plugins


@subcommand
@click.argument("recipe")
@with_sets
@with_json
@with_plugins
def explain(plugins: Plugins, recipe: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Print the computation plan of RECIPE.

    For each phase, the plan lists the tensors in the order of their computation: the networks that a tensor calls, the
    tensors that it reads, the tensors and losses that need it, and "graph" if gradients flow through it. The losses
    follow. generator@1 is the generator after one step of this iteration. Tensors of an earlier phase are reused. The
    plan is that of an iteration in which all phases run; a phase with a period says so.

    \b
    i2i explain stargan_v2.yaml
    """
    from i2i_core.plan.check import load
    from i2i_core.plan.flow import plan_iteration, planner_of

    checked = load(recipe, sets, plugins)
    phases = [_facts(phase, checked) for phase in plan_iteration(planner_of(checked, checked.fields), checked)]
    if as_json:
        print_json({"phases": phases})
        return
    for phase in phases:
        _show_phase(phase)


def _facts(phase: PlannedPhase, checked: Checked) -> dict[str, Any]:
    from i2i_core.recipe.sections import ALWAYS

    made, written = phase.compute, checked.recipe.phases[phase.name]
    return {
        "name": phase.name,
        "trains": list(phase.trains),
        "where": written.where,
        "when": written.when,
        **{key: getattr(written, key) for key in ALWAYS},
        "batch": [node.name for node in made if node.kind == "field"],
        "tensors": [_tensor(node) for node in made if node.kind == "tensor"],
        "reused": [node.name for node in phase.reuse if node.kind in ("field", "tensor")],
        "losses": _losses(phase, checked),
    }


def _tensor(node: Node) -> dict[str, Any]:
    networks = {argument for _, argument in node.arguments if argument.kind == "network"}
    return {
        "name": node.name,
        "reads": _reads(node.arguments),
        "networks": sorted(f"{n.name}@{n.version}" if n.version else n.name for n in networks),
        "asked_by": node.asked_by,
        "graph": node.graph,
    }


def _reads(arguments: Arguments) -> list[str]:
    """Return the names of tensors and fields that are read, and the distributions of random numbers."""
    from i2i_core.plan.tensors import RANDOM

    return [RANDOM.get(node.kind, node.name) for _, node in arguments if node.kind != "network"]


def _losses(phase: PlannedPhase, checked: Checked) -> list[dict[str, Any]]:
    written = dict(checked.recipe.terms(phase.name))
    return [
        {
            "name": term.name,
            "use": written[term.name].use,
            "weight": _weight(term.weight, written[term.name].weight),
            "every": term.every,
            "reads": _reads(term.arguments),
        }
        for term in phase.terms
    ]


def _weight(schedule: Schedule, written: Use) -> str:
    """Return the text of a schedule: its own, or what the recipe says for one that has none."""
    if type(schedule).__str__ is not object.__str__:
        return str(schedule)
    return ", ".join([written.use, *(f"{key}: {value}" for key, value in written.params.items())])


def _show_phase(phase: dict[str, Any]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    aliases = ", ".join(f"{alias} = {name}" for alias, name in phase["where"].items())
    title = Text.assemble(
        (phase["name"], "bold"),
        f"  trains {', '.join(phase['trains'])}",
        f" {phase['when']}" if phase["when"] else "",
        f"; {aliases}" if aliases else "",
    )
    table = new_table("tensor", "calls", "reads", "needed by", "")
    for column in table.columns:
        column.no_wrap = False
    here = {tensor["name"] for tensor in phase["tensors"]}
    for tensor in phase["tensors"]:
        table.add_row(
            Text(tensor["name"], style="bold"),
            ", ".join(tensor["networks"]),
            ", ".join(tensor["reads"]),
            _askers(tensor["asked_by"], phase["name"], here),
            "graph" if tensor["graph"] else "",
        )
    losses = new_table("loss", "weight", "reads", "use")
    for loss in phase["losses"]:
        every = f", every {loss['every']} steps" if loss["every"] > 1 else ""
        losses.add_row(loss["name"], loss["weight"] + every, ", ".join(loss["reads"]), loss["use"])
    lines = [
        Text(f"{label}: {', '.join(names)}")
        for label, names in (("from the batch", phase["batch"]), ("from an earlier phase", phase["reused"]))
        if names
    ]
    tables: list[RenderableType] = [table, losses] if phase["tensors"] else [losses]
    print_tables(title, *(Padding(part, (0, 0, 0, 2)) for part in [*lines, *tables]), "")


def _askers(asked_by: list[str], phase: str, tensors: set[str]) -> str:
    """Name the losses and tensors that need a tensor: those of this phase, then those of later phases."""
    own = [asker.removeprefix(f"{phase}/") for asker in asked_by if asker in tensors or asker.startswith(f"{phase}/")]
    later = [asker for asker in asked_by if asker not in tensors and not asker.startswith(f"{phase}/")]
    return "; ".join([*([", ".join(own)] if own else []), *([f"later {', '.join(later)}"] if later else [])])
