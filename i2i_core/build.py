"""From a checked recipe to a run: data first, since its domains and size shape the networks, then the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from i2i_core.check import Checked, definitions, plan_phases, requests
from i2i_core.components import Spec, build
from i2i_core.data.batches import field_names
from i2i_core.draws import seed_of
from i2i_core.errors import DataError, Problem, RecipeError
from i2i_core.events import event_bus
from i2i_core.hooks.checkpoint import Checkpoint
from i2i_core.interfaces import Dataset
from i2i_core.run import Run
from i2i_core.tensors import Scope

if TYPE_CHECKING:
    from accelerate import Accelerator


def build_data(checked: Checked) -> tuple[Dataset, Dataset, dict[str, Any]]:
    """Training pictures, held-out pictures (the same object where there are none), and the facts of the data."""
    assert checked.data is not None
    facts: dict[str, Any] = {"image_size": checked.recipe.data.image_size}
    data = validation = _dataset(checked.data, facts)
    if checked.validation is not None:
        validation = _dataset(checked.validation, facts)
        if tuple(validation.domains) != tuple(data.domains):
            raise DataError(f"{checked.validation.mark}: the held-out pictures have the domains "
                            f"{', '.join(validation.domains)}, training has {', '.join(data.domains)}")
    return data, validation, facts | {"num_domains": len(data.domains), "domains": tuple(data.domains)}


def _dataset(spec: Spec, facts: Mapping[str, Any]) -> Dataset:
    dataset: Dataset = build(spec, facts)
    if len(dataset.domains) < 2:
        raise DataError(f"{spec.mark}: {spec.entry.name} has only the domain {', '.join(dataset.domains)}, and a "
                        f"translation needs two; add a second one")
    for y, domain in enumerate(dataset.domains):
        if dataset.count(y) == 0:
            raise DataError(f"{spec.mark}: domain {domain} has no pictures; fill it or remove it")
    return dataset


def build_networks(checked: Checked, facts: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Every network, initialised from the seed and its own name; raises RecipeError with all that cannot be built.

    Under `torch.device("meta")` this checks sizes without spending memory.
    """
    networks, problems = {}, list[Problem]()
    for name, spec in checked.networks.items():
        torch.manual_seed(seed_of(seed, "network", name))
        try:
            networks[name] = build(spec, facts)
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return networks


def build_run(checked: Checked, accelerator: Accelerator, folder: Path | None) -> Run:
    """Everything a recipe names, ready to train; raises RecipeError and DataError for what its values do not allow."""
    recipe, run = checked.recipe, Run()
    world = accelerator.num_processes
    if recipe.data.batch_size % world:
        raise RecipeError([Problem(f"data.batch_size {recipe.data.batch_size} is the whole batch and cannot be shared "
                                   f"by {world} processes", recipe.mark("data", "batch_size"))])
    run.recipe, run.accelerator, run.folder = recipe, accelerator, folder
    with accelerator.main_process_first():  # the others find its pictures examined
        run.data, run.validation, facts = build_data(checked)
    networks = build_networks(checked, facts, recipe.seed)
    run.networks = {name: network.to(run.device, run.dtype) for name, network in networks.items()}
    run.eval_networks = dict(run.networks)
    run.lr_schedules = checked.lr
    run.optimizers = {name: spec.target([p for p in run.networks[name].parameters() if p.requires_grad], **spec.params)
                      for name, spec in checked.optimizers.items()}
    tensors = {name: _place(build(spec, facts), run) for name, spec in checked.tensors.items()}
    losses = {key: _place(build(spec, facts), run) for key, spec in checked.losses.items()}
    run.definitions = definitions(checked, tensors)
    run.weights = {phase: {term: (use.weight, use.every) for term, use in recipe.terms(phase)}
                   for phase in recipe.phases}
    scope = Scope(run.definitions, run.networks, field_names(run.data))
    run.plan = plan_phases(scope, recipe, requests(recipe, checked.losses, losses))
    run.hooks = {name: build(spec, facts) for name, spec in checked.hooks.items()}
    run.events = event_bus(dict(sorted(run.hooks.items(), key=lambda named: isinstance(named[1], Checkpoint))))
    assert checked.trainer is not None
    run.trainer = build(checked.trainer, facts)
    return run


def _place(component: Any, run: Run) -> Any:
    """Put a component that holds a network (FAN, a perceptual loss) where the run computes."""
    return component.to(run.device, run.dtype) if isinstance(component, torch.nn.Module) else component
