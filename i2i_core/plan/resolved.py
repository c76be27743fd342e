"""The resolved recipe: all defaults filled in, each value with its origin. It alone reproduces the run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic_core import to_jsonable_python

from i2i_core.plan.checked import Checked
from i2i_core.recipe.document import Document, Path, escaped, json_in_yaml, load_text, scalar
from i2i_core.recipe.sections import DEFAULT_OPTIMIZER

PLAIN = re.compile(r"[\w./][\w./-]*")
"""Text that YAML reads without quotes, unless it is a number or a word such as null."""


def resolve(checked: Checked) -> dict[str, Any]:
    """Return the recipe as plain data with all defaults, which can be loaded again."""
    recipe = checked.recipe
    assert checked.data is not None
    assert checked.trainer is not None
    found = {
        **recipe.model_dump(),
        "method": recipe.method.use,
        "optimizers": _optimizers(checked),
        "hooks": dict.fromkeys({**recipe.all_hooks(), **recipe.hooks}),
    }
    found["data"] |= checked.data.resolved()
    found["data"]["augment"]["also"] = [spec.resolved() for spec in checked.transforms]
    found["trainer"] = checked.trainer.resolved()
    for section, specs in (("networks", checked.networks), ("tensors", checked.tensors), ("hooks", checked.hooks)):
        found[section] |= {name: spec.resolved() for name, spec in specs.items()}
    for name, network in recipe.networks.items():
        found["networks"][name]["frozen"] = network.frozen
    for (group, name), spec in checked.losses.items():
        weight = checked.weights[group, name].resolved()
        found["losses"][group][name] |= {**spec.resolved(), "weight": weight.get("value", weight)}
    plain: dict[str, Any] = to_jsonable_python(found)
    return plain


def components(checked: Checked) -> set[str]:
    """Return the names of all components of a recipe, nested ones included."""
    return {checked.recipe.method.use, *_uses(resolve(checked))}


def _uses(data: object) -> Iterator[str]:
    """Yield the name of each component in a resolved recipe."""
    if isinstance(data, Mapping):
        yield from (str(value) for key, value in data.items() if key == "use")
        data = list(data.values())
    if isinstance(data, list):
        for value in data:
            yield from _uses(value)


def _optimizers(checked: Checked) -> dict[str, dict[str, Any]]:
    """Return the section `optimizers` with all defaults: the entry `default`, and the keys that differ by network."""
    written = checked.recipe.optimizers
    default = {"use": DEFAULT_OPTIMIZER, **written.get("default", {})}
    others = {}
    for name, optimizer in checked.optimizers.items():
        own = dict(written.get(name, {}))
        filled = {key: value for key, value in optimizer.spec.resolved().items() if key not in own}
        if own.get("use", default["use"]) == default["use"]:
            default = {**filled, **default}
        else:
            own = {**filled, **own}
        if own:
            others[name] = own
    return {"default": default, **others}


def dump(checked: Checked, earlier: str = "") -> str:
    """Return the resolved recipe as YAML. A comment gives each value's origin: a line of the recipe, --set or default.

    earlier: the text of the recipe, if that is itself such a dump; its origins are kept.
    """
    document, kept, text = checked.recipe.document, earlier.splitlines(), ""
    above: Path = ()
    for path, value in _leaves(resolve(checked)):
        for depth, section in enumerate(path[:-1]):
            if path[: depth + 1] != above[: depth + 1]:
                text += f"{'  ' * depth}{_inline(section)}:\n"
        text += f"{'  ' * (len(path) - 1)}{_inline(path[-1])}: {_inline(value)}  # {_origin(path, document, kept)}\n"
        above = path
    return text


def _leaves(data: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path and value of each entry that is not a section."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _origin(path: Path, document: Document, kept: Sequence[str]) -> str:
    """Return the origin of a value as one line; a --set may have several."""
    data, place = document.data, path
    for key in path:
        if isinstance(data, Mapping) and key in data:
            data = data[key]
        elif isinstance(data, str) and key == "use":  # a component's bare name stands for its `use`
            place = path[:-1]
        else:
            return "default"
    mark = document.mark(place)
    if mark.line and kept:
        return kept[mark.line - 1].partition("  # ")[2]
    said = str(mark).replace(mark.file, FilePath(mark.file).name) if mark.line else str(mark)
    return escaped(" ".join(said.split()))


def _inline(value: object) -> str:
    """Return a value as one line of YAML: JSON without needless quotes, with YAML's infinities and NaN."""
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and scalar(value) == value:
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return json_in_yaml(value)


@dataclass(frozen=True)
class Change:
    """A value that differs between a run and the recipe that resumes it."""

    path: Path
    before: object
    after: object
    allowed: bool

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {_inline(self.before)} -> {_inline(self.after)}"


def changes(earlier: str, checked: Checked) -> list[Change]:
    """Return the changes from the resolved recipe `earlier` of a run to the recipe that resumes it.

    A resumed run may change the number of steps, the seed, keys that affect only how it is computed, the keys of
    optimizers, and hooks without state.
    """
    before, after = (dict(_leaves(data)) for data in (load_text(earlier, "").data, resolve(checked)))
    stateful = {name for name, spec in checked.hooks.items() if hasattr(spec.target, "state_dict")}
    free = (
        ("steps",),
        ("seed",),
        ("channels_last",),
        ("tf32",),
        ("timeout",),
        ("compile",),
        ("activation_checkpointing",),
        ("data", "workers"),
        ("data", "gradient_accumulation"),
    )
    return [
        Change(
            path,
            before.get(path),
            after.get(path),
            path in free
            or (path[0] == "optimizers" and path[2:] != ("use",))
            or (path[0] == "hooks" and path[1] not in stateful),
        )
        for path in {**before, **after}
        if not _same(before.get(path), after.get(path))
    ]


def _same(one: object, other: object) -> bool:
    """Return True for equal values, and for two NaNs."""
    return one == other or (one != one and other != other)
