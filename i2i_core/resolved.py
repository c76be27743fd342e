"""The resolved recipe: every default filled in, every value with where it came from; alone it reproduces the run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel

from i2i_core.check import Checked
from i2i_core.marks import Document, Path, scalar
from i2i_core.recipe import Term


def resolve(checked: Checked) -> dict[str, Any]:
    """The recipe as plain data with all defaults, ready to be loaded again."""
    recipe = checked.recipe
    assert checked.data is not None
    assert checked.trainer is not None
    core = {name: getattr(recipe.data, name) for name in ("image_size", "batch_size", "workers", "augment")}
    data = {**checked.data.resolved(), **core}
    if recipe.data.validation is not None:
        data["validation"] = recipe.data.validation
    losses: dict[str, dict[str, Any]] = {}
    for (group, name), spec in checked.losses.items():
        losses.setdefault(group, {})[name] = {**spec.resolved(), **_term(recipe.losses[group][name])}
    optimizers = {}
    for name, spec in checked.optimizers.items():
        schedule = checked.lr[name]
        optimizers[name] = {**spec.resolved(), **({"lr": schedule} if schedule else {})}
    hooks = {name: checked.hooks[name].resolved() if name in checked.hooks else None
             for name in {**recipe.all_hooks(), **recipe.hooks}}
    found = {"i2i": 1, "seed": recipe.seed, "steps": recipe.steps, "precision": recipe.precision,
             "requires": recipe.requires, "method": recipe.method.use, "data": data,
             "networks": {name: spec.resolved() for name, spec in checked.networks.items()},
             "tensors": {name: spec.resolved() for name, spec in checked.tensors.items()},
             "losses": losses, "phases": recipe.phases, "optimizers": optimizers, "hooks": hooks,
             "trainer": checked.trainer.resolved()}
    plain: dict[str, Any] = _plain(found)
    return plain


def _term(term: Term) -> dict[str, Any]:
    start, end = term.weight.ramp
    weight: Any = term.weight if start != end else start
    return {"weight": weight, "every": term.every, "where": term.where}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain({name: getattr(value, name) for name in type(value).model_fields})
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, FilePath) else value


def dump(data: Mapping[str, Any], document: Document) -> str:
    """YAML with the origin of each value as a comment: line of the recipe, --set, or default."""
    return "\n".join(_lines(data, (), document)) + "\n"


def _lines(data: Mapping[str, Any], path: Path, document: Document) -> list[str]:
    lines = []
    for key, value in data.items():
        here, indent = (*path, key), "  " * len(path)
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}:", *_lines(value, here, document)]
        else:
            lines.append(f"{indent}{key}: {_inline(value)}  # {_origin(here, document)}")
    return lines


def _origin(path: Path, document: Document) -> str:
    """Where a value was written: its own place, that of all networks' default optimizer, or a --set around it."""
    if path[0] == "optimizers" and path not in document.values:
        path = ("optimizers", "default", *path[2:])
    mark = document.values.get(path)
    if mark is None:
        sets = [document.values[path[:n]] for n in range(1, len(path)) if path[:n] in document.values]
        mark = next((m for m in sets if m.file.startswith("--set")), None)
    return str(mark).replace(mark.file, FilePath(mark.file).name) if mark and mark.line else str(mark or "default")


def _inline(value: Any) -> str:
    """A value on one line; text is quoted wherever it would be read as something else."""
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str):
        bare = value.replace("_", "").replace("/", "").replace("-", "").replace(".", "").isalnum()
        return value if bare and scalar(value) == value and not value.startswith("-") else json.dumps(value)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[tuple[str, ...]] = (),
                path: tuple[str, ...] = ()) -> list[str]:
    """What changed between two resolved recipes, as "a.b: old -> new", without the paths that are `free` to change."""
    lines = []
    for key in {**old, **new}:
        here = (*path, key)
        a, b = old.get(key), new.get(key)
        if a == b or here in free:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, free, here)
        else:
            lines.append(f"{'.'.join(here)}: {_inline(a)} -> {_inline(b)}")
    return lines


def free_on_resume(checked: Checked) -> set[tuple[str, ...]]:
    """What a resumed run may change: how long, with how many workers, and hooks that have no state of their own."""
    stateless = {("hooks", name) for name in {**checked.recipe.all_hooks(), **checked.recipe.hooks}
                 if name not in checked.hooks or not hasattr(checked.hooks[name].target, "state_dict")}
    return {("steps",), ("data", "workers"), *stateless}
