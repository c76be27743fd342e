"""The shape of a recipe: keys, types, defaults, --set, and mistakes that are all reported at once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from i2i_core.errors import RecipeError
from i2i_core.plan.check import check_recipe
from i2i_core.recipe.document import load_text
from i2i_core.recipe.reading import find_recipe, load_recipe, parse_recipe

TINY = Path(__file__).with_name("tiny.py")


def test_the_tiny_recipe_is_right(check):
    assert check().recipe.steps == 4


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("i2i: 1", "i2i: 2", "2:6: i2i should be 1, not 2"),
        ("steps: 4", "", "2:1: steps is missing"),
        ("steps: 4", "steps: 0", "3:8: steps should be greater than 0, not 0"),
        ("steps: 4", "steps: many", "3:8: steps should be a whole number, not 'many'"),
        ("steps: 4", "steps: 1.5", "3:8: steps should be a whole number, not 1.5"),
        ("steps: 4", "steps: on", "3:8: steps should be a whole number, not 'on'"),
        ("steps: 4", "steps:", "3:7: steps should be a whole number, not null"),
        ("steps: 4", f"steps: {'9' * 5000}", "3:8: steps should be a finite number, not inf"),
        ("steps: 4", "steps: 4\nstep: 5", "4:1: unknown key step in the recipe (did you mean steps?)"),
        ("steps: 4", "steps: 4\n<<: {seed: 1}", "4:1: unknown key << in the recipe"),
        ("steps: 4", "steps: 4\nprecision: fp8", "4:12: precision should be 'fp32', 'bf16' or 'fp64', not 'fp8'"),
        (
            "steps: 4",
            "steps: 4\nprecision: fp16",
            "4:12: precision: fp16 is refused: its gradient scaler is shared by all optimizers of a step, which scales "
            "every one after the first wrongly; use bf16 or fp32",
        ),
        ("image_size: 8, ", "", "5:7: data.image_size is missing"),
        ("image_size: 8", "image_size: [8]", "5:37: data.image_size.1 is missing"),
        ("image_size: 8", "image_size: [8, 8, 8]", "5:37: data.image_size: tuple should have at most 2 items, not 3"),
        ("image_size: 8", "image_size: big", "5:37: data.image_size should be a list, not 'big'"),
        (
            "image_size: 8",
            "image_size: 8, augment: {flip: 2}",
            "5:56: data.augment.flip should be less than or equal to 1, not 2",
        ),
        (
            "image_size: 8",
            "image_size: 8, augment: {flipp: 0}",
            "5:50: unknown key flipp in data.augment (did you mean flip?)",
        ),
        ("use: tiny/noise, ", "", "5:7: data.use is missing"),
        ("tiny/discriminator", "", "8:17: networks.discriminator should be a mapping, not null"),
        ("use: tiny/generator, ", "", "7:14: networks.generator.use is missing"),
        ("weight: 0.5", "weight: heavy", "16:60: losses.g.near.weight should be a number, not 'heavy'"),
        ("weight: 0.5", "weight: {ramp: [1], over: 9}", "16:67: losses.g.near.weight.ramp.1 is missing"),
        ("weight: 0.5", "weight: {over: 9}", "16:52: schedule linear needs the key ramp"),
        ("weight: 0.5", "weight: {ramp: [1, 0], ovr: 9}", "16:75: schedule linear has no key ovr (did you mean over?)"),
        ("weight: 0.5", "every: 0", "16:59: losses.g.near.every should be greater than 0, not 0"),
        ("weight: 0.5", "where: [a]", "16:59: losses.g.near.where should be a mapping, not ['a']"),
        ("train: [generator]", "train: []", "19:14: phases.g.train: list should have at least 1 item, not 0"),
        ("train: [generator]", "train: [generator, 5]", "19:26: phases.g.train.1 should be text, not 5"),
        ("losses: g}", "losses: g, wher: {}}", "19:38: unknown key wher in phases.g (did you mean where?)"),
        ("losses: g}", "losses: {g: 1}}", "19:35: phases.g.losses should be a list, not {'g': 1}"),
        ("optimizers:", "optimizers:\n  generator: 5", "21:14: optimizers.generator should be a mapping, not 5"),
        ("ema: {use: ema, networks: [generator]}", "ema: 5", "24:8: hooks.ema should be a mapping, not 5"),
    ],
)
def test_a_wrong_shape_is_one_problem_at_its_place(mistakes, old, new, problem):
    assert mistakes((old, new)) == [f"tiny.yaml:{problem}"]


def test_a_mistyped_key_that_is_needed_is_missing_and_unknown(mistakes):
    assert mistakes(("train: [generator]", "trains: [generator]")) == [
        "tiny.yaml:19:6: phases.g.train is missing",
        "tiny.yaml:19:7: unknown key trains in phases.g (did you mean train?)",
    ]


@pytest.mark.parametrize("text", ["", "- a", "just text", "5"])
def test_what_is_no_mapping_is_no_recipe(text):
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "r.yaml")
    assert str(error.value) == "r.yaml: a recipe is a mapping that starts with i2i: 1"


def test_an_empty_mapping_lacks_all_that_is_needed():
    with pytest.raises(RecipeError) as error:
        parse_recipe("{}", "r.yaml")
    assert [p.message for p in error.value.problems] == [
        f"{key} is missing" for key in ("i2i", "steps", "method", "data", "networks", "losses", "phases")
    ]


def test_six_mistakes_of_every_kind_are_reported_at_once_in_order(mistakes):
    assert mistakes(
        ("steps: 4", "steps: many"),
        ("width: 4", "wdith: 4"),
        ("tiny/discriminator", "tiny/discriminater"),
        ("of: x_real", "of: x_rael"),
        ("weight: 0.5", "weight: heavy"),
        ("train: [generator]", "train: [generater]"),
        ("lr: 2e-3", "lr: fast"),
        ("hooks:", "hooks:\n  sample: {use: sample_grid, phase: gg}"),
        ("# A recipe for tiny.py", "colour: red # A recipe for tiny.py"),
    ) == [
        "tiny.yaml:1:1: unknown key colour in the recipe",
        "tiny.yaml:3:8: steps should be a whole number, not 'many'",
        "tiny.yaml:7:36: network tiny/generator has no key wdith (did you mean width?)",
        "tiny.yaml:8:18: there is no network called tiny/discriminater (did you mean tiny/discriminator?)",
        "tiny.yaml:10:30: nothing makes the tensor x_rael (did you mean x_real?)",
        "tiny.yaml:16:60: losses.g.near.weight should be a number, not 'heavy'",
        "tiny.yaml:19:15: phases.g.train.0: there is no network generater in the recipe (did you mean generator?)",
        "tiny.yaml:22:23: optimizers.discriminator.lr should be a number, not 'fast'",
        "tiny.yaml:24:37: hooks.sample.phase: there is no phase gg in the recipe (did you mean g?)",
    ]


def test_a_mistake_that_hides_part_of_the_flow_brings_no_mistakes_that_are_none(mistakes):
    """Without its networks a phase's losses would seem unused, and the networks untrained."""
    assert mistakes(("train: [generator]", "train: 5"), ("use: tiny/grey, ", "")) == [
        "tiny.yaml:10:9: tensors.grey.use is missing",
        "tiny.yaml:19:14: phases.g.train should be a list, not 5",
    ]


def test_a_mistaken_alias_brings_no_mistakes_that_are_none(mistakes):
    """Only phase g says what source is: without the alias nothing would make it."""
    assert mistakes(("of: x_real", "of: source"), ("losses: g}", "losses: g, where: {source: 5}}")) == [
        "tiny.yaml:19:54: phases.g.where.source should be text, not 5"
    ]


def test_a_phase_that_names_what_is_not_there_is_checked_on(mistakes):
    assert mistakes(("train: [generator]", "train: [generater, discriminator]"), ("a: x_fake, b: grey", "b: grey")) == [
        "tiny.yaml:16:11: no network or tensor is called a: phase g needs losses.g.near -> a",
        "tiny.yaml:19:15: phases.g.train.0: there is no network generater in the recipe (did you mean generator?)",
    ]


def test_problems_of_sets_and_of_the_file_come_together(mistakes):
    assert mistakes(("width: 4", "wdith: 4"), sets=("steps.x=1", "seed=-1", "method=tiny/metod")) == [
        "--set method=tiny/metod: there is no method called tiny/metod (did you mean tiny/method?)",
        "--set seed=-1: seed should be greater than or equal to 0, not -1",
        "--set steps.x=1: steps is 4, which has no keys to set",
        "tiny.yaml:7:36: network tiny/generator has no key wdith (did you mean width?)",
    ]


def test_the_value_of_a_long_set_is_cut_in_messages(mistakes):
    (said,) = mistakes(sets=(f"networks.generator={{use: tiny/generator, wdith: 4, name: {'a' * 90}}}",))[:1]
    start = "--set networks.generator={use: tiny/generator, wdith: 4, name: aaaaaaaaaaaaaaaa"
    assert said.startswith(start) and "a ...: " in said and "a" * 40 not in said


def test_set_reaches_components_that_are_written_by_name_alone(check):
    checked = check(
        sets=(
            "networks.discriminator.twin=generator",
            "hooks.progress.every=5",
            "hooks.checkpoint=null",
            "losses.g.near.weight={ramp: [1, 0], over: 4}",
            "phases.g.train.0=generator",
        )
    )
    assert checked.networks["discriminator"].params == {"twin": "generator"}
    assert checked.hooks["progress"].params == {"every": 5}
    assert sorted(checked.hooks) == ["ema", "metrics", "progress"]
    assert [checked.weight(("g", "near"))(step) for step in (0, 2, 9)] == [1.0, 0.5, 0.0]


def test_numbers_are_read_as_people_write_them(check):
    checked = check(("steps: 4", "steps: 100_000"), ("lr: 1e-3", "lr: 1e-4"), ("weight: 0.5", "weight: 1_0"))
    recipe = checked.recipe
    assert recipe.steps == 100_000
    assert recipe.optimizer("generator")["lr"] == 0.0001
    assert checked.weight(("g", "near"))(0) == 10.0


def test_a_domain_may_be_called_no(check):
    assert check(("split: val", "split: val, domains: [on, no]")).validation.params["domains"] == ["on", "no"]


def test_one_name_stands_for_a_list_of_one(check):
    recipe = check(("train: [generator]", "train: generator")).recipe
    assert (recipe.phases["g"].train, recipe.phases["g"].losses) == (["generator"], ["g"])


def test_an_optimizer_of_a_network_takes_the_defaults_keys_unless_it_is_another_kind(check):
    recipe = check().recipe
    assert recipe.optimizer("discriminator") == {"use": "adam", "lr": 2e-3, "betas": [0.0, 0.99]}
    recipe = check(("lr: 2e-3", "use: sgd, lr: 2e-3")).recipe
    assert recipe.optimizer("discriminator") == {"use": "sgd", "lr": 2e-3}


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"i2i: \xff")
    with pytest.raises(RecipeError) as error:
        load_recipe(bad)
    said = "'utf-8' codec can't decode byte 0xff in position 5: invalid start byte"
    assert str(error.value) == f"{bad}: the recipe cannot be read: {said}"


def test_recipes_are_found_as_files_first_and_then_by_name(tmp_path, monkeypatch, plugins):
    monkeypatch.chdir(tmp_path)
    bundled = plugins.recipes()
    assert find_recipe("stargan_v2", bundled) == find_recipe("stargan_v2.yaml", bundled) == bundled["stargan_v2.yaml"]
    (tmp_path / "stargan_v2.yaml").touch()
    assert str(find_recipe("stargan_v2.yaml", bundled)) == "stargan_v2.yaml"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("stargan_v3.yaml", " (did you mean stargan_v2.yaml?)"), ("x" * 300, ""), ("nowhere/stargan_v2.yaml", "")],
)
def test_a_recipe_that_is_not_there_says_where_it_was_looked_for(plugins, name, hint):
    with pytest.raises(RecipeError) as error:
        find_recipe(name, {"stargan_v2.yaml": plugins.recipes()["stargan_v2.yaml"]} if hint else {})
    assert str(error.value) == (
        f"there is no recipe {name}, neither as a file nor bundled with an installed plugin{hint}"
    )


def places(data, path=()):
    """Every path in nested mappings and lists."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("value", [None, -5, "x", [], {}, math.nan, [["x"]]], ids=repr)
def test_no_value_at_any_place_of_a_recipe_ends_in_a_traceback(plugins, value):
    """Each is a recipe that can be checked, or problems that are explained, of which none is nameless."""
    text = TINY.with_suffix(".yaml").read_text()
    found = []
    for path in places(load_text(text, "").data):
        data = load_text(text, "").data
        holder = data
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = value
        try:
            check_recipe(parse_recipe(json.dumps(data).replace("NaN", ".nan"), "r.yaml"), plugins)
        except RecipeError as error:
            found += error.problems or [path]
    assert len(found) > 20
    assert [p for p in found if not p.message or not p.mark or p.mark.file != "r.yaml"] == []
