"""A stranger's recipe is a recipe, or one or more problems with their places; it runs and reads nothing."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from i2i_core.errors import I2IError
from i2i_core.plan.check import load
from i2i_core.recipe.document import load_text
from i2i_core.registry.plugins import Plugins, discover

from .changes import changed
from .conftest import Tally
from .fence import fenced
from .scale import FULL, tried


@cache
def plugins() -> Plugins:
    return discover()


@cache
def recipes() -> dict[str, Any]:
    """The bundled recipes as plain data."""
    return {name: load_text(path.read_text(), name).data for name, path in sorted(plugins().recipes().items())}


def judge(path: Path, tally: Tally) -> None:
    """Load a recipe in a fence: it has to be one, or problems that name a line of it."""
    tally.what, problems, said = "recipes", None, ""
    with tally.one():
        with fenced(path.parent, packages=frozenset({"i2i_core", "i2i"})):
            try:
                load(str(path), [], plugins())
            except I2IError as error:
                problems, said = getattr(error, "problems", None), str(error)
                tally.refuse()
        assert problems is None or problems
        for problem in problems or ():
            assert problem.message
            assert problem.mark is None or problem.mark.line > 0 or problem.mark.file == str(path), problem
        assert len(said) < 200_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "recipe.yaml"
    for name in recipes():  # imports what recipes name
        load(name, [], plugins())
    return path


@tried(20_000)
@given(data=st.deferred(lambda: changed([*recipes().values()])))
def test_recipes_with_other_values(path: Path, tally: Tally, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")
    judge(path, tally)


@tried(4_000)
@given(
    data=st.deferred(lambda: changed([*recipes().values()])),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.binary(max_size=6)), max_size=4),
)
def test_recipes_with_other_bytes(path: Path, tally: Tally, data: Any, cuts: list[tuple[float, int, bytes]]) -> None:
    try:
        text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False).encode()
    except (yaml.YAMLError, UnicodeEncodeError):
        return
    for share, count, new in cuts:
        place = int(share * len(text))
        text = text[:place] + new + text[place + count :]
    path.write_bytes(text)
    judge(path, tally)


BOMBS = {
    "equal keys": lambda: "a: 1\n" * 200_000,
    "equal keys in flow": lambda: "{" + "a: 1, " * 170_000 + "}",
    "unknown keys": lambda: "".join(f"steqs{n}: 1\n" for n in range(60_000)),
    "aliases": lambda: "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghij")),
    "many aliases": lambda: "a: &a {b: c}\nd: [" + "*a, " * 250_000 + "]",
    "deep": lambda: "[" * 500_000,
    "deep blocks": lambda: "".join(f"{' ' * n}a:\n" for n in range(1_400)),
    "long number": lambda: "steps: " + "9" * 1_000_000,
    "long float": lambda: "steps: 1e" + "9" * 1_000_000,
    "long text": lambda: "method: " + "x" * 1_000_000,
    "long key": lambda: "x" * 1_000_000 + ": 1",
    "quotes": lambda: 'a: "' + "\\x41" * 250_000 + '"',
    "underscores": lambda: "steps: " + "1_" * 500_000,
    "documents": lambda: "---\n" * 250_000,
    "comments": lambda: "#\n" * 500_000,
    "tags": lambda: "a: [" + "!!python/object:os.system x, " * 30_000 + "]",
    "domains": lambda: "i2i: 1\ndata: {targets: {" + ", ".join(f"d{n}: e{n}" for n in range(15_000)) + "}}",
    "phases": lambda: "i2i: 1\nphases: {" + ", ".join(f"p{n}: {{trains: [a]}}" for n in range(9_000)) + "}",
    "complex keys": lambda: "? [" + "a, " * 300_000 + "]\n: 1",
    "no text": lambda: "\x01" * 1_000_000,
    "too large": lambda: "a" * 3_000_000,
}  # fmt: skip
"""Recipes of a megabyte that ask for much time or memory."""


@pytest.mark.skipif(not FULL, reason="tests/test_bounds.py tries others")
@pytest.mark.parametrize("name", BOMBS)
def test_recipes_that_ask_for_much(path: Path, tally: Tally, name: str) -> None:
    path.write_text(BOMBS[name](), encoding="utf-8")
    judge(path, tally)
