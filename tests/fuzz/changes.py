"""Changes of plain data that respect its structure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Place = tuple[str | int, ...]


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
def changed(draw: st.DrawFn, originals: Sequence[Any]) -> Any:
    """One of these data, of which some values were replaced, removed, renamed, repeated or exchanged."""
    original = draw(st.sampled_from(originals))
    data, all_places = copy.deepcopy(original), list(places(original))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(all_places))
        try:
            owner = at(data, place[:-1])
            owner[place[-1]]
        except (LookupError, TypeError):  # gone by an earlier change
            continue
        change = draw(st.integers(0, 5))
        if change == 0:
            del owner[place[-1]]
        elif change == 1 and isinstance(owner, dict):
            names = st.text(max_size=12) | st.sampled_from([str(other[-1]) for other in all_places])
            owner[draw(names)] = owner.pop(place[-1])
        elif change == 2:
            owner[place[-1]] = copy.deepcopy(at(original, draw(st.sampled_from(all_places))))
        elif change == 3 and isinstance(owner[place[-1]], int | float):
            owner[place[-1]] = owner[place[-1]] * draw(st.sampled_from([-1, 0, 0.5, 1e9, 10**20]))
        else:
            owner[place[-1]] = draw(VALUES)
    return data


def at(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key]
    return data
