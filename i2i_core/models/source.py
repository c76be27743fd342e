"""Runs, checkpoints and models as sources from which a run starts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i_core.disk import checkpoints
from i2i_core.disk.seals import unsealed
from i2i_core.errors import CheckpointError, UsageError
from i2i_core.models.folder import CONFIG, RECIPE, WEIGHTS, read
from i2i_core.recipe.reading import load_recipe
from i2i_core.recipe.sections import Recipe

Parts = Mapping[str, Mapping[str, Tensor]]
START = "start.json"
"""The file in a run's folder that says from what the run started, and what it took."""


@dataclass(frozen=True)
class Source:
    """The state of a run at a checkpoint, or the networks of a model."""

    place: Path
    """The folder of the checkpoint or of the model."""
    domains: list[str]
    facts: Mapping[str, Any]
    """Its identity, as JSON: `from`, the folder of the run or model, `step` of a run, and `sha256`."""
    networks: Parts
    """Weights by network, on the CPU: those of a run in training, not their averages."""
    averages: Parts = field(default_factory=dict)
    """The averages (EMA) of a run's networks."""
    state: Parts = field(default_factory=dict)
    """The other parts of a run's checkpoint: "optimizers/generator", "hooks/ema", ..."""
    layouts: Any = None
    """Format and size of each batch field, as the checkpoint or config.json says."""
    recipe: Recipe | None = None
    """The recipe of a run."""

    @property
    def weights(self) -> Parts:
        """The weights that a translation uses, by network: averages if there are some, else those in training."""
        return {**self.networks, **self.averages}


def find(place: Path) -> Path:
    """Return the folder of a model or checkpoint: `place`, or the newest checkpoint of the run in it.

    Raises UsageError if `place` is neither of them, and CheckpointError for a run without checkpoints.
    """
    if (place / CONFIG).is_file() or (place / checkpoints.MANIFEST).is_file():
        return place
    if not (place / RECIPE).is_file():
        if place.parent.name == "checkpoints" and not place.exists():
            raise CheckpointError(f"{place} was deleted by its training, which keeps newer checkpoints; start again")
        raise UsageError(f"there is no run or model in {place} to start from; the working directory is {Path.cwd()}")
    newest = checkpoints.newest(place / "checkpoints", lambda _: None)
    if newest is None:
        raise CheckpointError(f"the run {place} has no checkpoint yet, so nothing can start from it")
    return newest.path


def folder_of(place: Path) -> Path:
    """Return the folder of the run or model that `place` is, or is a checkpoint of."""
    return place.absolute().parent.parent if (place / checkpoints.MANIFEST).is_file() else place


def name_of(place: Path) -> str:
    """Return the name of a run without its number, or the name of a model."""
    return re.sub(r"-\d{3}$", "", folder_of(place).resolve().name)


def recipe_of(place: Path) -> Path:
    """Return the recipe of a run, a checkpoint or a model. Raises UsageError if it has none."""
    recipe = folder_of(find(place)) / RECIPE
    if not recipe.is_file():
        raise UsageError(f"{place} has no {RECIPE}; name a recipe with --recipe")
    unsealed(recipe, "name a recipe with --recipe")
    return recipe


def read_source(place: Path) -> Source:
    """Read a run's folder, a checkpoint or a model's folder. Raises UsageError and CheckpointError."""
    found = find(place)
    if (found / CONFIG).is_file():
        model = read(found)
        sha256 = hashlib.sha256((found / WEIGHTS).read_bytes()).hexdigest()
        facts: dict[str, Any] = {"from": str(place), "sha256": sha256}
        networks = {name: tensors for name, tensors in model.networks.items() if tensors}
        return Source(found, model.config.domains, facts, networks, layouts=model.document.data["layouts"])
    checkpoint = checkpoints.verify(found)
    manifest = (found / checkpoints.MANIFEST).read_bytes()
    run = place.parent.parent if found == place else place
    facts = {"from": str(run), "step": checkpoint.step, "sha256": hashlib.sha256(manifest).hexdigest()}
    parts = checkpoint.parts()
    networks = {name.removeprefix("networks/"): part for name, part in parts.items() if name.startswith("networks/")}
    state = {name: part for name, part in parts.items() if not name.startswith("networks/")}
    file = folder_of(found) / RECIPE
    recipe = load_recipe(file) if file.is_file() else None
    hooks = [f"hooks/{name}" for name in recipe.all_hooks()] if recipe else [*state]
    return Source(
        found,
        list(checkpoint.info["domains"]),
        facts,
        networks,
        averages(networks, {part: state[part] for part in hooks if part in state}),
        state,
        checkpoint.info.get("layouts"),
        recipe,
    )


def described(facts: Mapping[str, Any]) -> str:
    """Return the facts of a source as a phrase, such as "runs/first, step 2,000"."""
    return f"{facts['from']}, step {facts['step']:,}" if "step" in facts else str(facts["from"])


def averages(networks: Parts, state: Parts) -> Parts:
    """Return the averages of networks that hooks keep, by network: hooks name their tensors network/tensor."""
    found: dict[str, Mapping[str, Tensor]] = {}
    for part, tensors in state.items():
        grouped: dict[str, dict[str, Tensor]] = {}
        for place, tensor in tensors.items() if part.startswith("hooks/") else ():
            network, _, name = place.partition("/")
            grouped.setdefault(network, {})[name] = tensor
        found |= {name: group for name, group in grouped.items() if group.keys() == networks.get(name, {}).keys()}
    return found
