"""From a recipe and trained weights to a model: what of both a translation needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic_core import to_jsonable_python
from torch import Tensor

from i2i_core.data.sets import directions
from i2i_core.disk import checkpoints
from i2i_core.disk.seals import unsealed
from i2i_core.errors import CheckpointError, UsageError, did_you_mean
from i2i_core.models.folder import CONFIG, RECIPE, WEIGHTS, Model
from i2i_core.models.source import START, averages, described
from i2i_core.plan.check import load_again
from i2i_core.plan.checked import Checked
from i2i_core.plan.flow import planner_of
from i2i_core.plan.planner import Planner, Unresolved
from i2i_core.plan.uses import recipe_uses
from i2i_core.recipe.document import json_in_yaml, load_text
from i2i_core.registry import environment
from i2i_core.registry.plugins import Plugins

Networks = Mapping[str, Mapping[str, Tensor]]


def of_run(folder: Path, plugins: Plugins, step: int | None = None, show: str | None = None) -> Model:
    """Make the model of a run: its EMA networks if a hook keeps some, else the networks in training.

    step: the step of the checkpoint; None for the newest valid one. show: the tensor that is the result, if not that of
    the recipe's uses. Raises UsageError, RecipeError and CheckpointError.
    """
    if not (folder / RECIPE).is_file():
        raise UsageError(f"{folder} is not a run folder: it has no {RECIPE}")
    unsealed(folder / RECIPE, f"to write it anew: i2i train --resume --run-dir {folder} --recipe FILE")
    checked = load_again(folder / RECIPE, (), plugins, folder)
    checkpoint, parts = _read(folder / "checkpoints", step)
    trained = {name: parts.get(f"networks/{name}", {}) for name in checked.networks}
    averaged = averages(trained, {f"hooks/{hook}": parts.get(f"hooks/{hook}", {}) for hook in checked.hooks})
    recipe = checked.recipe
    training = {
        **_started_from(folder),
        "seed": recipe.seed,
        "data": recipe.data.use,
        "steps": checkpoint.step,
        "metrics": _measured(folder) if checkpoint.step == recipe.steps else {},
    }
    about = checkpoint.info
    return of_recipe(
        checked,
        about["domains"],
        {**trained, **averaged},
        plugins,
        folder.name,
        layouts=about["layouts"],
        show=show,
        training=training,
    )


def _read(folder: Path, step: int | None) -> tuple[checkpoints.Checkpoint, Networks]:
    """Return a checkpoint with its tensors; a running training may prune others meanwhile."""
    if step is None:
        if (found := checkpoints.loaded(folder, lambda _: None)) is None:
            raise CheckpointError(f"there is no checkpoint in {folder} yet")
        return found
    checkpoint = checkpoints.at(folder, step)
    try:
        return checkpoint, checkpoint.parts()
    except FileNotFoundError:
        raise CheckpointError(
            f"{checkpoint.path} was deleted by the running training, which keeps newer ones"
        ) from None


def _measured(folder: Path) -> dict[str, object]:
    """Return the contents of the files in eval/ by name, without files that cannot be read."""
    found = {}
    for path in sorted(folder.glob("eval/*.json")):
        with suppress(OSError, ValueError, RecursionError):
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)  # NaN
    return found


def _started_from(folder: Path) -> dict[str, object]:
    """Return where a run started, for the model card; {} if it started from the seed."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        sources = json.loads((folder / START).read_text(encoding="utf-8"))["sources"]
        return {"started from": ", ".join(dict.fromkeys(described(facts) for facts in sources))}
    return {}


def _why_no_use(planner: Planner, checked: Checked, show: str) -> str:
    """Return the reason why no use was found that shows a tensor."""
    for where in ({}, *(phase.where for phase in checked.recipe.phases.values())):
        try:
            planner.tensors([show], where)
        except Unresolved:
            continue
        return f"the tensor {show} needs the true translation, which is not known after training; show another"
    hint = did_you_mean(show, planner.names() - {show})
    return f"no phase of the recipe makes the tensor {show}" + (f" ({hint})" if hint else "")


def of_recipe(
    checked: Checked,
    domains: list[str],
    networks: Networks,
    plugins: Plugins,
    name: str,
    *,
    layouts: Mapping[str, object] | None = None,
    show: str | None = None,
    training: Mapping[str, object] | None = None,
) -> Model:
    """Make a model of a recipe: the components that its uses need, with these weights.

    layouts: format and size of each batch field, as `written_layouts` gives them; None: RGB pictures of image_size.
    show: the tensor that is the result, if not that of the recipe's uses. Raises UsageError if nothing makes it.
    """
    recipe = checked.recipe
    planner = planner_of(checked, checked.fields)
    uses = recipe_uses(planner, checked, show)
    if not uses:
        raise UsageError(_why_no_use(planner, checked, show or "x_fake"))
    nodes = [node for use in uses.values() for node in planner.tensors([use.show], use.where).nodes]
    used = {node.name for node in nodes}
    files: dict[str, Path] = {}
    named = {
        kind: {n: _portable(spec.resolved(), files) for n, spec in specs.items() if n in used}
        for kind, specs in (("networks", checked.networks), ("tensors", checked.tensors))
    }
    layouts = layouts or {name: {"format": "picture", "size": recipe.data.image_size} for name in ("x_real", "x_ref")}
    needed = {"x_real", "x_ref", *used, *(use.result for use in uses.values())}
    kept_layouts = {name: _portable(layout, files) for name, layout in layouts.items() if name in needed}
    ways = directions(recipe.data.targets, domains)
    names = {recipe.method.use, *_uses(named), *_uses(kept_layouts)}
    config = {
        "i2i": 1,
        "method": recipe.method.use,
        "image_size": recipe.data.image_size,
        "domains": domains,
        "sources": [domains[y] for y in ways],
        "targets": [domains[y] for y in sorted({y for ys in ways.values() for y in ys})],
        "layouts": kept_layouts,
        "uses": {name: use.model_dump(exclude_defaults=True) for name, use in uses.items()},
        **named,
        "plugins": environment.origins(plugins, names),
        "versions": environment.versions(),
        "training": dict(training or {}),
        "files": {},
    }
    document = load_text(json_in_yaml(to_jsonable_python(config), indent=1), f"{name}/{CONFIG}")
    kept = {name: {**tensors} for name, tensors in networks.items() if name in used}
    return Model(name, document, kept, files)


def _portable(keys: object, files: dict[str, Path]) -> object:
    """A component's keys with the names of files in the model's folder instead of paths, which go into `files`."""
    if isinstance(keys, Mapping):
        return {key: _portable(value, files) for key, value in keys.items()}
    if isinstance(keys, list | tuple):
        return [_portable(value, files) for value in keys]
    if not isinstance(keys, Path):
        return keys
    stem = keys.stem
    while f"{stem}.safetensors" == WEIGHTS or files.get(f"{stem}.safetensors", keys) != keys:
        stem += "-2"
    files[f"{stem}.safetensors"] = keys
    return f"{stem}.safetensors"


def _uses(keys: object) -> set[str]:
    """The names of all components in a model's sections."""
    if not isinstance(keys, Mapping):
        return set()
    own = {str(keys["use"])} if "use" in keys else set()
    return own.union(*map(_uses, keys.values()))
