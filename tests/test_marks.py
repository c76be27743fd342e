"""YAML with marks: what a scalar means, where everything was written, and what is refused."""

from __future__ import annotations

import math
import time

import pytest

from i2i_core.errors import Mark, RecipeError
from i2i_core.recipe.document import load_text, scalar, set_value, shown


def refused(text: str) -> list[str]:
    with pytest.raises(RecipeError) as error:
        load_text(text, "r.yaml")
    return list(map(str, error.value.problems))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 0.0001),
        ("1E3", 1000.0),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1_000.5", 1000.5),
        ("100_000", 100_000),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        (".inf", math.inf),
        ("+.inf", math.inf),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("N", "N"),
        ("12:30:00", "12:30:00"),
        ("2024-01-31", "2024-01-31"),
        ("0x10", "0x10"),
        ("1__0", "1__0"),
        ("1_", "1_"),
        ("_1", "_1"),
        ("1e", "1e"),
        ("e5", "e5"),
        (".", "."),
        ("-", "-"),
        ("infinity", "infinity"),
        ("nan", "nan"),
        ("9" * 5000, math.inf),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them(text, value):
    found = scalar(text)
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_read():
    assert math.isnan(scalar(".nan"))


def test_quoted_scalars_stay_text():
    assert load_text("a: '1'\nb: \"true\"\nc: |\n  5\n", "r.yaml").data == {"a": "1", "b": "true", "c": "5\n"}


def test_keys_stay_text():
    assert load_text("1: a\ntrue: b\n1e3: c", "r.yaml").data == {"1": "a", "true": "b", "1e3": "c"}


def test_keys_and_values_have_the_places_where_they_were_written():
    document = load_text("steps: 5\nphases:\n  d: {train: [g, h]}\n", "r.yaml")
    assert document.mark(("steps",)) == Mark("r.yaml", 1, 8)
    assert document.mark(("steps",), key=True) == Mark("r.yaml", 1, 1)
    assert document.mark(("phases", "d")) == Mark("r.yaml", 3, 6)
    assert document.mark(("phases", "d", "train", 1)) == Mark("r.yaml", 3, 18)
    assert document.mark(("phases", "d", "train"), key=True) == Mark("r.yaml", 3, 7)


def test_what_was_not_written_is_where_its_nearest_ancestor_is():
    document = load_text("phases:\n  d: {train: [g]}\n", "r.yaml")
    assert str(document.mark(("phases", "d", "where", "s_trg"))) == "r.yaml:2:3"
    assert str(document.mark(("seed",))) == "r.yaml"


def test_an_alias_repeats_data_and_each_copy_is_its_own():
    document = load_text("a: &x {b: [1]}\nc: *x\n", "r.yaml")
    set_value(document, "c.b=2")
    assert document.data == {"a": {"b": [1]}, "c": {"b": 2}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "r.yaml:3:1: the key a is given twice, first in line 1"),
        ("a: {b: 1, b: 2}", "r.yaml:1:11: the key b is given twice, first in line 1"),
        ("a:\n\tb: 1", "r.yaml:2:1: a tab is used here; use spaces"),
        ("a: 1\n\tb: 2", "r.yaml:2:1: a tab is used here; use spaces"),
        ("a:\tb:\tc", "r.yaml:1:3: a tab is used here; use spaces"),
        (
            "a: [1, 2",
            "r.yaml:1:9: not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
        ),
        ("a: b: c", "r.yaml:1:5: not YAML: mapping values are not allowed here"),
        ("a: 'b", "r.yaml:1:6: not YAML: while scanning a quoted scalar, found unexpected end of stream"),
        (
            "- @",
            "r.yaml:1:3: not YAML: while scanning for the next token, found character '@' that cannot start any token",
        ),
        ("a: *b", "r.yaml:1:4: not YAML: found undefined alias 'b'"),
        (
            "a: 1\n---\nb: 2",
            "r.yaml:2:1: not YAML: expected a single document in the stream, but found another document",
        ),
        ("a: 1\nb: \x00", "r.yaml:2:4: not YAML: the character U+0000 is not allowed"),
        ("a: '\t'\nb: 1\nc: '\t' : {", "r.yaml:3:8: not YAML: mapping values are not allowed here"),
        ("a: \u2028b\u2028: {", "r.yaml:3:1: not YAML: while scanning a simple key, could not find expected ':'"),
        ("? [a, b]\n: 1", "r.yaml:1:3: a key must be a name"),
        (
            "a: !!python/object/apply:os.system [exit]",
            "r.yaml:1:4: tags such as !!python/object/apply:os.system are not allowed",
        ),
        ("!!python/name:os.system a: 1", "r.yaml:1:1: tags such as !!python/name:os.system are not allowed"),
        ("a: !!int '5'", "r.yaml:1:4: tags such as !!int are not allowed"),
        ("a: !Network {}", "r.yaml:1:4: tags such as !Network are not allowed"),
        ("[" * 66 + "]" * 66, "r.yaml:1:66: a file may have at most 64 levels"),
        ("a: &x [*x]", "r.yaml:1:4: a file may have at most 64 levels"),
        ("[" * 100_000, "r.yaml:1:66: a file may have at most 64 levels"),
        ("a: " + "x" * (1 << 20), "r.yaml: a file may have at most 1048576 bytes"),
    ],
)
def test_what_is_not_plain_data_is_refused_with_its_place(text, problem):
    assert refused(text) == [problem]


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    start = time.monotonic()
    assert refused("\n".join(lines)) == ["r.yaml:1:37: a file may have at most 10000 values"]
    assert time.monotonic() - start < 5


def test_every_tag_and_every_duplicate_is_reported_at_once():
    assert refused("a: !x 1\nb: !y 2\nc: 1\nc: 2") == [
        "r.yaml:1:4: tags such as !x are not allowed",
        "r.yaml:2:4: tags such as !y are not allowed",
        "r.yaml:4:1: the key c is given twice, first in line 3",
    ]


def test_limits_themselves_are_allowed():
    assert load_text("[" * 65 + "]" * 65, "r.yaml").data
    assert load_text(f"a: {'x' * ((1 << 20) - 3)}", "r.yaml").data


BASE = "steps: 5\nlosses: {g: {cycle: toy/cycle}}\nphases:\n  d: {train: [g, h], where: }\n"


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("steps=7", ("steps",), 7),
        ("steps=1e-4", ("steps",), 1e-4),
        ("steps='7'", ("steps",), "7"),
        ("steps=", ("steps",), None),
        ("steps=a=b", ("steps",), "a=b"),
        ("steps={a: [1, no]}", ("steps",), {"a": [1, "no"]}),
        (" steps =7", ("steps",), 7),
        ("seed=3", ("seed",), 3),
        ("data.augment.flip=0", ("data", "augment"), {"flip": 0}),
        ("phases.d.where.s_trg=s_latent", ("phases", "d", "where"), {"s_trg": "s_latent"}),
        ("phases.d.train.1=e", ("phases", "d", "train"), ["g", "e"]),
        ("losses.g.cycle.weight=2", ("losses", "g", "cycle"), {"use": "toy/cycle", "weight": 2}),
        ("losses.g.cycle=l1", ("losses", "g", "cycle"), "l1"),
    ],
)
def test_set_changes_one_value_and_marks_it(assignment, path, value):
    document = load_text(BASE, "r.yaml")
    set_value(document, assignment)
    found = document.data
    for part in path:
        found = found[part]
    assert found == value
    name = assignment.partition("=")[0].strip()
    changed = tuple(int(p) if p.isdecimal() else p for p in name.split("."))
    assert str(document.mark(changed)) == f"--set {assignment}"
    assert str(document.mark(("losses",))) == "r.yaml:2:9"


def test_set_of_a_key_leaves_the_component_where_it_was_written():
    document = load_text(BASE, "r.yaml")
    set_value(document, "losses.g.cycle.weight=2")
    assert str(document.mark(("losses", "g", "cycle", "use"))) == "r.yaml:2:21"


def test_set_of_a_mapping_marks_what_is_in_it():
    document = load_text(BASE, "r.yaml")
    set_value(document, "phases.d={train: [h]}")
    assert str(document.mark(("phases", "d", "train"), key=True)) == "--set phases.d={train: [h]}"
    assert ("phases", "d", "train", 0) in document.values
    assert ("phases", "d", "train", 1) not in document.values


def test_set_of_a_mapping_forgets_the_places_of_what_it_replaces():
    document = load_text(BASE, "r.yaml")
    set_value(document, "phases.d={train: [h]}")
    assert str(document.mark(("phases", "d", "train", 0))) == "--set phases.d={train: [h]}"


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("steps", "write --set a.b.c=value"),
        ("=5", "write --set a.b.c=value"),
        ("a..b=5", "write --set a.b.c=value"),
        ("steps.x=1", "steps is 5, which has no keys to set"),
        ("steps.x.y=1", "steps is 5, which has no keys to set"),
        ("phases.d.train.2=g", "phases.d.train is a list of 2, counted from 0; it has no item 2"),
        ("phases.d.train.first=g", "phases.d.train is a list of 2, counted from 0; it has no item first"),
        ("phases.d.train.²=g", "phases.d.train is a list of 2, counted from 0; it has no item ²"),
        ("steps=[1", "not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("steps=!!python/name:os.system ''", "tags such as !!python/name:os.system are not allowed"),
        ("steps=\udcff", "not YAML: the character U+DCFF is not allowed"),
    ],
)
def test_set_says_what_cannot_be_set(assignment, problem):
    document = load_text(BASE, "r.yaml")
    with pytest.raises(RecipeError) as error:
        set_value(document, assignment)
    assert [(p.message, str(p.mark)) for p in error.value.problems] == [(problem, f"--set {assignment}")]


def test_values_in_messages_look_as_in_a_recipe_and_are_short():
    assert [shown(v) for v in (None, True, 5, "a")] == ["null", "true", "5", "'a'"]
    assert len(shown("x" * 1000)) == 80
