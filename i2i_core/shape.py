"""pydantic's errors as problems in a user's words, and what a recipe is without them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from i2i_core.errors import Problem, did_you_mean
from i2i_core.marks import Document, Path, shown

_EXPECTED = {"int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
             "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false",
             "bool_parsing": "true or false", "string_type": "text", "list_type": "a list", "tuple_type": "a list",
             "dict_type": "a mapping", "model_type": "a mapping", "path_type": "a path",
             "is_instance_of": "a component", "none_required": "null"}
_SECTIONS = (("data",), ("method",), ("networks",), ("losses",), ("phases",))
_STAND_INS: dict[Path, int] = {("i2i",): 1, ("steps",): 1, ("data", "image_size"): 1, ("data", "batch_size"): 1}
"""Values that nothing else in a recipe is checked against."""


def shape_problems(errors: Iterable[ErrorDetails], document: Document, base: Path,
                   known: Callable[[Path], Iterable[str]]) -> list[Problem]:
    """The problems at their marks; errors are at paths below `base`, `known` gives the keys allowed at a path."""
    problems = []
    expected: dict[Path, dict[str, Any]] = {}  # by place, since each branch of a union has an error of its own
    for error in errors:
        path, last = _written((*base, *error["loc"]), document.data), error["loc"][-1] if error["loc"] else ""
        name, mark, kind = ".".join(map(str, path)), document.mark(path), error["type"]
        wish = _EXPECTED.get(kind) or error["msg"].partition("Input should be ")[2]
        if kind == "extra_forbidden":
            problems.append(Problem(f"unknown key {last} in {'.'.join(map(str, path[:-1])) or 'the recipe'}",
                                    document.mark(path, key=True), did_you_mean(str(last), known(path[:-1]))))
        elif kind == "missing" and isinstance(last, int):
            problems.append(Problem(f"{name} has too few items", mark))
        elif kind == "missing":
            problems.append(Problem(f"{'.'.join(filter(None, (name, str(last))))} is missing", mark))
        elif kind in ("too_short", "too_long"):
            said = error["msg"].partition(" ")[2].replace(" after validation", "")
            problems.append(Problem(f"{name} {said}", mark))
        elif kind == "unknown_name":
            problems.append(Problem(f"{name} names {error['input']}, which is no {error['ctx']['what']} of the recipe",
                                    mark, error["ctx"]["hint"]))
        elif wish:
            expected.setdefault(path, {})[wish] = error["input"]
        else:
            said = error["msg"].removeprefix("Value error, ")
            problems.append(Problem(f"{name}: {said[:1].lower()}{said[1:]}", mark))
    for path, wishes in expected.items():
        value = next(iter(wishes.values()))
        problems.append(Problem(f"{'.'.join(map(str, path))} should be {' or '.join(wishes)}, not {shown(value)}",
                                document.mark(path)))
    return problems


def without_mistakes(errors: Sequence[ErrorDetails], data: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """What is left of `data` when its mistakes are taken out, or None; and whether its flow of tensors is untouched."""
    data, untouched = copy.deepcopy(data), True
    paths = [loc if loc in _STAND_INS else _written(loc, data) for loc in (error["loc"] for error in errors)]
    for path in reversed(list(dict.fromkeys(paths))):  # items of a list from its end, so that the others stay put
        if not path or path in _SECTIONS:
            return None, False
        if path not in _STAND_INS and _written(path, data) != path:  # something around it is gone already
            continue
        holder: Any = data
        for part in path[:-1]:
            holder = holder[part]
        if path in _STAND_INS:
            holder[path[-1]] = _STAND_INS[path]
        else:
            del holder[path[-1]]
            in_flow = path[0] in ("networks", "tensors", "losses", "phases")
            untouched &= not in_flow or "weight" in path or "every" in path
    return data, untouched


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems without repetitions, by file, line and column."""
    return sorted(dict.fromkeys(problems),
                  key=lambda p: (p.mark.file, p.mark.line, p.mark.column) if p.mark else ("", 0, 0))


def _written(path: Path, data: Any) -> Path:
    """`path` as far as it was written: pydantic adds the branch of a union, or the inside of a shorthand."""
    for n, part in enumerate(path):
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        if not inside:
            return path[:n]
        data = data[part]
    return path
