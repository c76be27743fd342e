"""The resolved recipe: every default filled in, every value with where it came from; alone it reproduces the run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic_core import to_jsonable_python

from i2i_core.check import Checked
from i2i_core.marks import Document, Path, scalar

PLAIN = re.compile(r"[\w./][\w./-]*")
"""Text that YAML needs no quotes for, unless it is read as a number or a word such as null."""


def resolve(checked: Checked) -> dict[str, Any]:
    """The recipe as plain data with all defaults, ready to be loaded again."""
    recipe = checked.recipe
    assert checked.data is not None
    assert checked.trainer is not None
    found = {**recipe.model_dump(), "method": recipe.method.use, "optimizers": _optimizers(checked),
             "hooks": dict.fromkeys({**recipe.all_hooks(), **recipe.hooks})}
    found["data"] |= checked.data.resolved()
    found["trainer"] = checked.trainer.resolved()
    for section, specs in (("networks", checked.networks), ("tensors", checked.tensors), ("hooks", checked.hooks)):
        found[section] |= {name: spec.resolved() for name, spec in specs.items()}
    for (group, name), spec in checked.losses.items():
        weight = recipe.losses[group][name].weight
        start, end = weight.ramp
        found["losses"][group][name] |= {**spec.resolved(), "weight": weight if start != end else start}
    plain: dict[str, Any] = to_jsonable_python(found)
    return plain


def _optimizers(checked: Checked) -> dict[str, dict[str, Any]]:
    """As the recipe says them: all networks' default, with its defaults filled in, and what differs from it."""
    written = checked.recipe.optimizers
    default = {"use": "adam", **written.get("default", {})}
    others = {}
    for name, spec in checked.optimizers.items():
        own = dict(written.get(name, {}))
        filled = {key: value for key, value in spec.resolved().items() if key not in own}
        if own.get("use", default["use"]) == default["use"]:
            default = {**filled, **default}
        else:
            own = {**filled, **own}
        if own:
            others[name] = own
    return {"default": default, **others}


def dump(data: Mapping[str, Any], document: Document, earlier: str = "") -> str:
    """YAML with the origin of each value as a comment: line of the recipe, --set, or default.

    earlier: the text of `document` where that is itself such a dump, whose origins are kept.
    """
    lines: list[str] = []
    above: Path = ()
    for path, value in _leaves(data):
        opened = [path[:depth] for depth in range(1, len(path)) if path[:depth] != above[:depth]]
        lines += [f"{'  ' * len(section[:-1])}{section[-1]}:" for section in opened]
        origin = _origin(path, document, earlier.splitlines())
        lines.append(f"{'  ' * len(path[:-1])}{path[-1]}: {_inline(value)}  # {origin}")
        above = path
    return "\n".join(lines) + "\n"


def _leaves(data: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is no section, by its path."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _origin(path: Path, document: Document, earlier: Sequence[str]) -> str:
    place = _written(path, document.data)
    if place is None:
        return "default"
    mark = document.mark(place)
    if mark.line and earlier:
        return earlier[mark.line - 1].partition("  # ")[2]
    return str(mark).replace(mark.file, FilePath(mark.file).name) if mark.line else str(mark)


def _written(path: Path, data: Any) -> Path | None:
    """The path of what a recipe says about `path`: a component's bare name stands for its `use`; None for a default."""
    for n, key in enumerate(path):
        if isinstance(data, str) and key == "use":
            return path[:n]
        if not isinstance(data, Mapping) or key not in data:
            return None
        data = data[key]
    return path


def _inline(value: Any) -> str:
    """A value on one line of YAML, which JSON is too but for its quotes and infinities."""
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and scalar(value) == value:
        return value
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value, ensure_ascii=False)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[Path] = ()) -> list[str]:
    """What changed between two resolved recipes, as "a.b: old -> new", without the sections that are `free` to."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return [f"{'.'.join(map(str, path))}: {_inline(before.get(path))} -> {_inline(after.get(path))}"
            for path in {**before, **after}
            if before.get(path) != after.get(path) and not any(path[: len(section)] == section for section in free)]


def free_on_resume(checked: Checked) -> set[Path]:
    """What a resumed run may change: how long, with how many workers, and hooks that have no state of their own."""
    stateless = {("hooks", name) for name in {**checked.recipe.all_hooks(), **checked.recipe.hooks}
                 if name not in checked.hooks or not hasattr(checked.hooks[name].target, "state_dict")}
    return {("steps",), ("data", "workers"), *stateless}
