"""Translation of pydantic's errors into problems of a recipe, and removal of the values that caused them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from pydantic_core import ErrorDetails

from i2i_core.errors import Problem, Problems, did_you_mean
from i2i_core.recipe.document import Document, Path, shown

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "path_type": "a path",
    "is_instance_of": "a component",
    "none_required": "null",
}
_STAND_INS: dict[Path, int] = {("i2i",): 1, ("steps",): 1, ("data", "image_size"): 1, ("data", "batch_size"): 1}
"""Replacements for invalid values; no other value of a recipe is checked against these."""
_NEEDED: set[Path] = {(), ("data",), ("method",), ("networks",), ("losses",), ("phases",)}
"""Sections without which nothing can be checked."""


def shape_problems(
    errors: Iterable[ErrorDetails],
    document: Document,
    base: Path,
    known: Callable[[Path], Iterable[str]],
    whole: str = "the recipe",
) -> list[Problem]:
    """Return pydantic's errors as problems with their marks.

    base: the path that the errors' locations are relative to. known: returns the keys allowed at a path. whole: what
    the document is.
    """
    problems = Problems()
    expected: dict[Path, tuple[Any, dict[str, None]]] = {}  # each branch of a union has an error of its own
    inner: set[Path] = set()  # paths at which a branch of a union matched the type and failed further on
    for error in errors:
        path, last = _written((*base, *error["loc"]), document.data), str((*base, *error["loc"])[-1])
        name, hint = ".".join(map(str, path)), error.get("ctx", {}).get("hint", "")
        mark = document.mark(path, key=error["type"] == "extra_forbidden" or last == "[key]")
        wish = _EXPECTED.get(error["type"]) or error["msg"].partition("Input should be ")[2]
        inner.update(path[:n] for n in range(len(path) + (not wish)))
        if error["type"] == "extra_forbidden":
            holder = name.rpartition(".")[0] or whole
            problems.append(Problem(f"unknown key {last} in {holder}", mark, did_you_mean(last, known(path[:-1]))))
        elif error["type"] == "missing":
            problems.append(Problem(f"{f'{name}.{last}'.lstrip('.')} is missing", mark))
        elif wish:
            expected.setdefault(path, (error["input"], {}))[1][wish] = None
        else:
            message = error["msg"].removeprefix("Value error, ").replace(" after validation", "")
            problems.append(Problem(f"{name}: {message[:1].lower()}{message[1:]}", mark, hint))
    for path, (value, wishes) in expected.items():
        if path in inner:
            continue
        message = f"{'.'.join(map(str, path))} should be {' or '.join(wishes)}, not {shown(value)}"
        problems.append(Problem(message, document.mark(path)))
    return problems


def without_mistakes(errors: Iterable[ErrorDetails], data: Any) -> Any:
    """Return `data` without its invalid values, or None if too little is left to check.

    An invalid alias removes the phase or loss that holds it, which would read other tensors without it. Unknown names
    are kept.
    """
    locations = [error["loc"] for error in errors if error["type"] != "unknown_name"]
    mistakes = {loc if loc in _STAND_INS else _written(loc, data) for loc in locations}
    mistakes = {path[: path.index("where")] if "where" in path else path for path in mistakes}
    if mistakes & _NEEDED:
        return None
    left = _without(data, mistakes)
    for path in mistakes & _STAND_INS.keys():
        (left["data"] if path[0] == "data" else left)[path[-1]] = _STAND_INS[path]
    return left


def _without(data: Any, mistakes: Collection[Path], path: Path = ()) -> Any:
    if isinstance(data, dict):
        return {
            key: _without(value, mistakes, (*path, key)) for key, value in data.items() if (*path, key) not in mistakes
        }
    if isinstance(data, list):
        return [_without(value, mistakes, (*path, i)) for i, value in enumerate(data) if (*path, i) not in mistakes]
    return data


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems without repetitions, sorted by file, line and column."""
    return sorted(
        dict.fromkeys(problems), key=lambda p: (p.mark.file, p.mark.line, p.mark.column) if p.mark else ("", 0, 0)
    )


def _written(path: Path, data: Any) -> Path:
    """Return the parts of `path` that the recipe contains; pydantic adds union branches and expanded shorthands."""
    written: list[str | int] = []
    for part in path:
        if part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data)):
            written.append(part)
            data = data[part]
    return tuple(written)
