"""The resolved recipe: every default filled in, every value with where it came from; alone it reproduces the run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
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
    hooks = {name: checked.hooks[name].resolved() if name in checked.hooks else None
             for name in {**recipe.all_hooks(), **recipe.hooks}}
    found = {"i2i": 1, "seed": recipe.seed, "steps": recipe.steps, "precision": recipe.precision,
             "requires": recipe.requires, "method": recipe.method.use, "data": data,
             "networks": {name: spec.resolved() for name, spec in checked.networks.items()},
             "tensors": {name: spec.resolved() for name, spec in checked.tensors.items()},
             "losses": losses, "phases": recipe.phases, "optimizers": _optimizers(checked), "hooks": hooks,
             "trainer": checked.trainer.resolved()}
    plain: dict[str, Any] = _plain(found)
    return plain


def _optimizers(checked: Checked) -> dict[str, dict[str, Any]]:
    """All networks' default and what differs from it, as recipes say it, or each in full where their kinds differ."""
    full = {}
    for name, spec in checked.optimizers.items():
        schedule = checked.lr[name]
        full[name] = {**spec.resolved(), **({"lr": schedule} if schedule else {})}
    if len({keys["use"] for keys in full.values()}) > 1:
        return full
    default: dict[str, Any] = dict(checked.recipe.optimizers.get("default", {}))
    own = {}
    for name, keys in full.items():
        written = checked.recipe.optimizers.get(name, {})
        default |= {key: value for key, value in keys.items() if key not in written}
        own[name] = {key: keys[key] for key in written}
    return {"default": default, **{name: keys for name, keys in own.items() if keys}}


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


def dump(data: Mapping[str, Any], document: Document, earlier: str = "") -> str:
    """YAML with the origin of each value as a comment: line of the recipe, --set, or default.

    earlier: the text of `document` where that is itself such a dump, whose origins are kept.
    """
    return "\n".join(_lines(data, (), document, earlier.splitlines())) + "\n"


def _lines(data: Mapping[str, Any], path: Path, document: Document, earlier: Sequence[str]) -> list[str]:
    lines = []
    for key, value in data.items():
        here, indent = (*path, key), "  " * len(path)
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}:", *_lines(value, here, document, earlier)]
        else:
            lines.append(f"{indent}{key}: {_inline(value)}  # {_origin(here, document, earlier)}")
    return lines


def _origin(path: Path, document: Document, earlier: Sequence[str]) -> str:
    """Where a value was written: in its own place, or as that of all networks' default optimizer."""
    place = _written(path, document.data)
    if place is None and path[0] == "optimizers":
        place = _written(("optimizers", "default", *path[2:]), document.data)
    mark = document.mark(place) if place is not None else None
    if mark is None or not mark.line:
        return str(mark or "default")
    if earlier and "  # " in earlier[mark.line - 1]:
        return earlier[mark.line - 1].rpartition("  # ")[2]
    return str(mark).replace(mark.file, FilePath(mark.file).name)


def _written(path: Path, data: Any) -> Path | None:
    """The path of what a recipe says about `path`: a component's bare name stands for its `use`; None for a default."""
    for n, key in enumerate(path):
        if isinstance(data, str) and path[n:] == ("use",):
            return path[:n]
        if not isinstance(data, Mapping) or key not in data:
            return None
        data = data[key]
    return path


def _inline(value: Any) -> str:
    """A value on one line; text is quoted wherever it would be read as something else."""
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str):
        bare = value.replace("_", "").replace("/", "").replace("-", "").replace(".", "").isalnum()
        plain = bare and scalar(value) == value and not value.startswith("-")
        return value if plain else json.dumps(value, ensure_ascii=False)
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
