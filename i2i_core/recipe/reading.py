"""From the name of a recipe and its `--set` assignments to a Recipe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from i2i_core.errors import Mark, Problem, RecipeError, did_you_mean
from i2i_core.recipe.document import load_text, set_value
from i2i_core.recipe.problems import in_order, shape_problems, without_mistakes
from i2i_core.recipe.sections import Recipe, keys_at


def find_recipe(name: str | Path, bundled: dict[str, Path]) -> Path:
    """The file called `name`, else the bundled recipe of that name; raises RecipeError."""
    path = Path(name)
    if os.path.isfile(path):
        return path
    known = bundled.get(path.name if path.suffix else f"{path.name}.yaml") if path.name == str(path) else None
    if known is None:
        hint = did_you_mean(str(name), bundled)
        raise RecipeError([Problem(f"there is no recipe {name}, neither as a file nor bundled with a plugin",
                                   hint=hint)])
    return known


def load_recipe(path: Path, sets: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `--set` assignments; raises RecipeError when nothing of it can be used.

    Mistakes that leave something to check are kept in its document: pass what this returns to `check_recipe`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([Problem(f"the recipe cannot be read: {error}", Mark(str(path)))]) from None
    return parse_recipe(text, str(path), sets)


def parse_recipe(text: str, file: str, sets: Sequence[str] = ()) -> Recipe:
    """Like `load_recipe`, from text; `file` is what marks call it."""
    document = load_text(text, file)
    if not isinstance(document.data, dict):
        raise RecipeError([Problem("a recipe is a mapping that starts with i2i: 1", Mark(file))])
    for assignment in sets:
        try:
            set_value(document, assignment)
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
            left, names = without_mistakes(error.errors(), left), None  # names that are not there may stay
    raise RecipeError(in_order(document.problems))
