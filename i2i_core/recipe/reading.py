"""Finding a recipe, reading it and applying `--set` assignments."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from i2i_core.disk.unknown import read_text
from i2i_core.errors import Mark, Problem, RecipeError, did_you_mean
from i2i_core.recipe.document import MAX_BYTES, load_text, set_value
from i2i_core.recipe.problems import in_order, shape_problems, without_mistakes
from i2i_core.recipe.sections import Recipe, keys_at

NOTHING: Mapping[str, str] = MappingProxyType({})


def find_recipe(name: str | Path, bundled: Mapping[str, Path], advise: Callable[[str], str] = lambda file: "") -> Path:
    """Return the path of the file `name`, or else of the bundled recipe with that name.

    advise: returns a hint for the name of an unknown recipe. Raises RecipeError with that hint if there is none.
    """
    path = Path(name)
    if os.path.isfile(path):
        return path
    file = (path.name if path.suffix else f"{path.name}.yaml") if path.name == str(path) else ""
    if file not in bundled:
        raise RecipeError(
            [
                Problem(
                    f"there is no recipe {name}, neither as a file nor bundled with an installed plugin",
                    hint=advise(file) or did_you_mean(str(name), bundled),
                )
            ]
        )
    return bundled[file]


def load_recipe(path: Path, sets: Sequence[str] = (), launcher: Mapping[str, str] = NOTHING) -> Recipe:
    """Read a recipe from a file and apply `--set` assignments.

    Raises RecipeError if no part of the recipe can be checked. Other problems are kept in the recipe's document; pass
    the recipe to `check_recipe`, which reports them. launcher: assignments of the launcher, each with the source that
    messages name.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise RecipeError([Problem(f"the recipe cannot be read: {why}", Mark(str(path)))]) from None
    return parse_recipe(text, str(path), sets, launcher)


def parse_recipe(text: str, file: str, sets: Sequence[str] = (), launcher: Mapping[str, str] = NOTHING) -> Recipe:
    """Read a recipe from text, as `load_recipe` does from a file. file: the name to use in messages."""
    document = load_text(text, file)
    if not isinstance(document.data, dict):
        raise RecipeError([Problem("a recipe is a mapping that starts with i2i: 1", Mark(file))])
    for assignment, origin in [*((assignment, "") for assignment in sets), *launcher.items()]:
        try:
            set_value(document, assignment, origin)
        except RecipeError as error:
            document.problems += error.problems
    left: Any = document.data
    names: Any = document.data
    while left is not None:
        try:
            recipe = Recipe.model_validate(left, context=names)
            recipe._document = document
            return recipe
        except ValidationError as error:
            if left is document.data:
                document.problems += shape_problems(error.errors(), document, (), keys_at)
            left, names = without_mistakes(error.errors(), left), None  # unknown names are kept
    raise RecipeError(in_order(document.problems))
