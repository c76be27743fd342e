"""A stranger's recipe is a recipe, or one or more problems with their places; it runs and reads nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from i2i_core.errors import I2IError, RecipeError
from i2i_core.plan.check import load
from i2i_core.recipe.document import load_text
from i2i_core.registry.plugins import Plugins, discover

from .fence import fenced
from .scale import tried

Place = tuple[str | int, ...]


@cache
def plugins() -> Plugins:
    return discover()


@cache
def recipes() -> dict[str, tuple[Any, list[Place]]]:
    """The bundled recipes as plain data, with the places of all their values."""
    found = {name: load_text(path.read_text(), name).data for name, path in sorted(plugins().recipes().items())}
    return {name: (data, list(places(data))) for name, data in found.items()}


def places(data: Any, place: Place = ()) -> Iterator[Place]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from places(value, (*place, key))


ODD = st.sampled_from(
    [None, True, False, 0, -1, 1, 2**31, 2**63, 10**26, -(10**400), 1e-300, 1e308, float("inf"), float("nan"),
     "", " ", "null", "~", "1e-4", "0x10", "../../etc/passwd", "/etc/passwd", "/dev/zero", "os.system", "os:system",
     "antigravity", "this:s", "core", "stargan_v2/generator", "x_fake", "y_trg", "step", "*", "a.b.c", "a" * 5000,
     "\u0000", "\ud800", "\u202e", "[]", "{}", "%s", "{0}", "$HOME", "~root", [], {}, [[]], {"use": None},
     {"use": "ema"}, {"ramp": [0, 1], "over": 0}, [1, 2, 3], {"a": {"b": {"c": {}}}}]
)  # fmt: skip
"""Values that are often mishandled."""
VALUES = st.recursive(
    ODD | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A bundled recipe of which some values were replaced, removed, renamed, repeated or exchanged."""
    name = draw(st.sampled_from(sorted(recipes())))
    data, all_places = recipes()[name]
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(all_places))
        try:
            owner = data
            for key in place[:-1]:
                owner = owner[key]
            owner[place[-1]]
        except (LookupError, TypeError):  # gone by an earlier change
            continue
        change = draw(st.integers(0, 5))
        if change == 0:
            del owner[place[-1]]
        elif change == 1 and isinstance(owner, dict):
            owner[draw(st.text(max_size=12) | st.sampled_from([str(p[-1]) for p in all_places]))] = owner.pop(place[-1])
        elif change == 2:
            other = draw(st.sampled_from(all_places))
            owner[place[-1]] = copy.deepcopy(at(recipes()[name][0], other))
        elif change == 3 and isinstance(owner[place[-1]], int | float):
            owner[place[-1]] = owner[place[-1]] * draw(st.sampled_from([-1, 0, 0.5, 1e9, 10**20]))
        else:
            owner[place[-1]] = draw(VALUES)
    return data


def at(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key]
    return data


def judge(path: Path) -> None:
    """Load a recipe in a fence: it has to be one, or problems that name a line of it."""
    with fenced(path.parent, packages=frozenset({"i2i_core", "i2i"})):
        try:
            load(str(path), [], plugins())
        except RecipeError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.message
                assert problem.mark is None or problem.mark.line > 0 or problem.mark.file == str(path), problem
            assert len(str(error)) < 200_000
        except I2IError as error:
            assert str(error)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "recipe.yaml"
    for name in recipes():  # imports what recipes name
        load(name, [], plugins())
    return path


@tried(20_000)
@given(data=mutated())
def test_recipes_with_other_values(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")
    judge(path)


@tried(4_000)
@given(data=mutated(), cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.binary(max_size=6)), max_size=4))
def test_recipes_with_other_bytes(path: Path, data: Any, cuts: list[tuple[float, int, bytes]]) -> None:
    try:
        text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False).encode()
    except (yaml.YAMLError, UnicodeEncodeError):
        return
    for share, count, new in cuts:
        place = int(share * len(text))
        text = text[:place] + new + text[place + count :]
    path.write_bytes(text)
    judge(path)


BOMBS = {
    "equal keys": lambda: "a: 1\n" * 200_000,
    "equal keys in flow": lambda: "{" + "a: 1, " * 170_000 + "}",
    "unknown keys": lambda: "".join(f"steqs{n}: 1\n" for n in range(60_000)),
    "aliases": lambda: "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)),
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


@pytest.mark.parametrize("name", BOMBS)
def test_recipes_that_ask_for_much(path: Path, name: str) -> None:
    path.write_text(BOMBS[name](), encoding="utf-8")
    judge(path)
