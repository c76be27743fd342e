"""The flow of tensors: what a loss wants must be made, what is made must be of use, and what is trained must learn."""

from __future__ import annotations

import pytest

from i2i_core.errors import RecipeError
from i2i_core.plan.check import check_recipe
from i2i_core.recipe.reading import parse_recipe
from i2i_core.registry.plugins import discover

D = "  discriminator: tiny/discriminator"
ADVERSARIAL = "    adversarial: {use: gan/hinge, player: generator}\n"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("b: grey", "b: gray", "16:46: nothing makes the tensor gray (did you mean grey?)"),
        ("a: x_fake, b: grey", "b: grey", "16:11: no network or tensor is called a: phase g needs losses.g.near -> a"),
        (", of: x_real", "", "10:9: no network or tensor is called of: phase g needs losses.g.near -> grey -> of"),
        ("of: x_real", "of: x_rael", "10:30: nothing makes the tensor x_rael (did you mean x_real?)"),
        ("of: x_real", "of: x_real, light: moon", "10:45: nothing makes the tensor moon"),
        ("losses: g}", "losses: g, where: {grey: gray}}", "19:52: nothing makes the tensor gray (did you mean grey?)"),
        ("weight: 0.5", "where: {grey: gray}", "16:66: nothing makes the tensor gray (did you mean grey?)"),
        (
            "losses: g}",
            "losses: g, where: {style: s, s: gray}}",
            "19:59: nothing makes the tensor gray (did you mean grey?)",
        ),
    ],
)
def test_a_tensor_that_nothing_makes_is_one_problem_where_its_name_stands(mistakes, old, new, problem):
    assert mistakes((old, new)) == [f"tiny.yaml:{problem}"]


def test_every_name_without_a_meaning_is_reported(mistakes):
    assert mistakes(
        ("a: x_fake, b: grey", "a: x_fak, b: grey"),
        ("of: x_real", "of: x_rael"),
        (
            "losses: g}",
            "losses: g, where: {style: stile}}\n  h: {train: [generator], losses: g, where: {style: stile}}",
        ),
    ) == [
        "tiny.yaml:10:30: nothing makes the tensor x_rael (did you mean x_real?)",
        "tiny.yaml:16:35: nothing makes the tensor x_fak (did you mean x_fake?)",
        *(f"tiny.yaml:{line}:53: nothing makes the tensor stile (did you mean style?)" for line in (19, 20)),
    ]


def test_a_network_that_the_method_wants_and_nobody_gives_is_reported(mistakes):
    assert mistakes(
        (f"{D}\n", ""), ("  discriminator: {lr: 2e-3}\n", ""), ("train: [discriminator]", "train: [generator]")
    ) == [
        "tiny.yaml:12:18: no network or tensor is called discriminator: phase d needs losses.d.adversarial -> "
        "real_logits -> discriminator"
    ]


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("of: grey", "10:30: tensor grey needs itself: phase g needs losses.g.near -> grey -> grey"),
        (
            "of: light}\n  light: {use: tiny/grey, of: grey",
            "11:31: tensor grey needs itself: phase g needs losses.g.near -> grey -> light -> grey",
        ),
    ],
)
def test_a_tensor_that_needs_itself_is_reported(mistakes, new, problem):
    assert mistakes(("of: x_real", new)) == [f"tiny.yaml:{problem}"]


def test_a_cycle_that_only_an_alias_closes_is_reported(mistakes):
    assert mistakes(
        ("losses: g}", "losses: g, where: {x_real: light}}"),
        ("of: x_real}", "of: x_real}\n  light: {use: tiny/grey, of: grey}"),
    ) == [
        "tiny.yaml:20:54: tensor light needs itself: phase g needs losses.g.adversarial -> fake_logits -> "
        "x_fake -> light -> grey -> light"
    ]


@pytest.mark.parametrize(
    ("name", "what"),
    [("style", "a tensor"), ("grey", "a tensor"), ("x_ref", "a batch field"), ("normal", "a batch field")],
)
def test_a_network_called_like_something_else_is_reported(mistakes, name, what):
    found = mistakes((D, f"{D}\n  {name}: tiny/skip"), ("train: [generator]", f"train: [generator, {name}]"))
    assert found == [f"tiny.yaml:9:3: {name} is both {what} and a network (rename the network)"]


def test_a_network_that_no_phase_trains_is_reported(mistakes):
    assert mistakes((D, f"{D}\n  more: tiny/skip")) == [
        "tiny.yaml:9:3: no phase trains network more (add it to a phase's train, or set frozen: true)"
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "train: [generator]",
            "train: [discriminator, generater]",
            "19:30: phases.g.train.1: there is no network generater in the recipe (did you mean generator?)",
        ),
        ("train: [generator]", "train: [generator, generator]", "19:14: phases.g.train: it names generator twice"),
        (
            "losses: g}",
            "losses: gg}",
            "19:35: phases.g.losses: there is no group of losses gg in the recipe (did you mean g?)",
        ),
        ("losses: g}", "losses: [g, d, g]}", "19:35: phases.g.losses: it names g twice"),
        (
            "  g:\n",
            "  more: {near: {use: l1, input: x_fake, target: x_real}}\n  g:\n",
            "14:3: no phase minimises losses.more",
        ),
    ],
)
def test_what_a_phase_names_must_be_there_once_and_all_of_it_be_used(mistakes, old, new, problem):
    assert mistakes((old, new)) == [f"tiny.yaml:{problem}"]


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        ([("a: x_fake", "a: x_real"), (ADVERSARIAL, "")], "18:15: phase g trains generator, but none of its losses"),
        ([("a: x_fake", "a: x_copy"), (ADVERSARIAL, "")], "18:15: phase g trains generator, but none of its losses"),
        (
            [
                ("train: [discriminator], losses: d", "train: [discriminator, generator], losses: d"),
                ("use: gan/hinge, player: discriminator", "use: l1, input: real_logits, target: real_logits"),
            ],
            "18:30: phase d trains generator, but none of its losses",
        ),
        (
            [("    adversarial: {use: gan/hinge, player: discriminator}", "    {}")],
            "18:15: phase d trains discriminator, but none of its losses",
        ),
    ],
)
def test_a_network_that_could_not_learn_is_reported(mistakes, edits, problem):
    """Also where the only way to it is through a detached tensor: x_copy."""
    assert mistakes(*edits) == [f"tiny.yaml:{problem} depends on it"]


def test_a_loss_that_moves_nothing_is_reported_unless_it_is_to_be_watched(mistakes, check):
    still = ("a: x_fake, b: grey, weight: 0.5", "a: x_copy, b: grey, weight: 0.5")
    assert mistakes(still) == [
        "tiny.yaml:16:5: losses.g.near depends on no network that its phases train (set weight: 0 to log it only)"
    ]
    check(("a: x_fake, b: grey, weight: 0.5", "a: x_copy, b: grey, weight: 0"))


def test_a_tensor_of_the_recipe_that_nothing_reads_is_reported(mistakes):
    (problem,) = mistakes(("b: grey", "b: x_real"))
    assert problem.startswith("tiny.yaml:10:3: nothing reads tensors.grey")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [("losses: g}", "losses: g, where: {gray: x_real}}", "19:46"), ("weight: 0.5", "where: {gray: x_real}", "16:60")],
)
def test_an_alias_that_nothing_reads_is_reported(mistakes, old, new, place):
    assert mistakes((old, new)) == [f"tiny.yaml:{place}: no tensor or loss reads gray (did you mean grey?)"]


def test_an_alias_that_only_an_alias_reads_is_of_use(check):
    check(("losses: g}", "losses: g, where: {style: s, s: y_trg}}"))


@pytest.mark.parametrize("other", ["bce", "lsgan", "wasserstein", "relativistic"])
def test_players_of_different_games_are_reported(mistakes, other):
    assert mistakes(("use: gan/hinge, player: generator", f"use: gan/{other}, player: generator")) == [
        f"tiny.yaml:15:24: losses.g.adversarial uses {other}, but losses.d.adversarial uses hinge "
        f"(use one objective for both players)"
    ]


def test_a_relativistic_player_against_an_average_one_is_reported(mistakes, check):
    both = [f"losses.{side}.adversarial.use=gan/relativistic" for side in "dg"]
    assert mistakes(sets=(*both, "losses.g.adversarial.average=true")) == [
        "--set losses.g.adversarial.use=gan/relativistic: losses.g.adversarial uses relativistic average, but "
        "losses.d.adversarial uses relativistic (use one objective for both players)"
    ]
    check(sets=(*both, *(f"losses.{side}.adversarial.average=true" for side in "dg")))


@pytest.mark.parametrize(
    ("name", "player", "place"), [("discriminator", "generator", "15:43"), ("generator", "discriminator", "15:43")]
)
def test_two_players_of_one_side_are_reported(mistakes, name, player, place):
    assert mistakes((f"use: gan/hinge, player: {name}", f"use: gan/hinge, player: {player}")) == [
        f"tiny.yaml:{place}: losses.g.adversarial is another {player}, and no loss is its opponent "
        f"(a GAN has a discriminator and a generator)"
    ]


def test_players_that_do_not_say_their_side_are_right(tmp_path):
    """An objective alone tells games apart; `player` is the core's own way to choose a side."""
    file = tmp_path / "duel.py"
    file.write_text("""
from i2i_core import hookimpl
@hookimpl
def i2i_components(registry):
    registry.loss("d", "duel:d")
    registry.loss("g", "duel:g")
def d():
    def loss(real_logits, fake_logits): return (fake_logits - real_logits).mean()
    loss.objective = "duel"
    return loss
def g():
    def loss(fake_logits): return -fake_logits.mean()
    loss.objective = "duel"
    return loss
""")
    plugins = discover(files=(file,))
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    sets = [f"losses.{group}.adversarial={{use: duel/{group[0]}}}" for group in ("discriminator", "generator")]
    assert check_recipe(parse_recipe(text, "r.yaml", sets), plugins).losses["generator", "adversarial"].objective


def test_another_game_for_both_players_is_right(check):
    check(sets=("losses.d.adversarial.use=gan/lsgan", "losses.g.adversarial.use=gan/lsgan"))


def test_a_mistake_in_a_set_does_not_hide_the_flow(mistakes):
    assert mistakes(("of: x_real", "of: x_rael"), sets=("losses.g.adversarial.use=gan/bc",)) == [
        "--set losses.g.adversarial.use=gan/bc: there is no loss called gan/bc (did you mean gan/bce?)",
        "tiny.yaml:10:30: nothing makes the tensor x_rael (did you mean x_real?)",
    ]


def stargan(plugins, text, *sets):
    with pytest.raises(RecipeError) as error:
        check_recipe(parse_recipe(text, "r.yaml", sets), plugins)
    return [f"{p.mark}: {p.message}" for p in error.value.problems]


def line_of(text, start):
    (found,) = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith(start)]
    return found


def test_masks_without_a_skip_are_reported(plugins):
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    assert stargan(plugins, text, "networks.generator.skip=null") == [
        f"r.yaml:{line_of(text, f'  {name}:')}:3: tensors.{name} makes masks, but the generator has no skip that uses "
        "them"
        for name in ("masks", "fake_masks")
    ]


def test_a_skip_without_masks_is_reported(plugins):
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    lines = text.splitlines()
    text = "\n".join(line for line in lines if not line.startswith("  fake_masks:"))
    assert stargan(plugins, text) == [
        f"r.yaml:{line_of(text, '    skip:')}:11: the generator has a skip, but no tensors.fake_masks makes its masks"
    ]


@pytest.mark.parametrize("name", ["stargan_v2", "stargan_v2_afhq", "stargan_v2_celeba_hq", "stargan_v2_earth"])
def test_every_bundled_recipe_is_right(plugins, name):
    path = plugins.recipes()[f"{name}.yaml"]
    check_recipe(parse_recipe(path.read_text(), name), plugins)


def test_style_codes_of_two_lengths_are_reported(plugins):
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    assert stargan(plugins, text, "networks.generator.style_dim=32") == [
        f"r.yaml:{line_of(text, 'networks:')}:1: the networks differ in style_dim: "
        "generator 32, mapping_network 64, style_encoder 64"
    ]


@pytest.mark.parametrize(
    ("assignment", "wish"),
    [
        ("networks.generator.max_channels=0", "greater than 0"),
        ("networks.mapping_network.hidden_dim=-4", "greater than 0"),
        ("optimizers.default.lr=-1", "greater than or equal to 0"),
        ("optimizers.default.lr='inf'", "a finite number"),
        ("optimizers.default.weight_decay=-1", "greater than or equal to 0"),
    ],
)
def test_numbers_that_no_network_or_optimizer_can_use_are_reported(plugins, assignment, wish):
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    key, _, value = assignment.partition("=")
    assert f"--set {assignment}: {key} should be {wish}, not {value}" in stargan(plugins, text, assignment)


def test_a_misspelt_alias_is_told_where_it_is(plugins):
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    text = text.replace("where: {s_trg: s_latent}", "where: {s_trgg: s_latent}")
    with pytest.raises(RecipeError) as error:
        check_recipe(parse_recipe(text, "r.yaml"), plugins)
    line = line_of(text, "  d_latent:")
    assert str(error.value).startswith(f"r.yaml:{line}:")
    assert str(error.value).endswith(": no tensor or loss reads s_trgg (did you mean s_trg?)")


def test_a_learning_rate_that_becomes_negative_is_reported(plugins):
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    ramp = "optimizers.default.lr={ramp: [1, -1], over: 1400}"
    assert f"--set {ramp}: optimizers.default.lr should be greater than or equal to 0, not -1.0" in stargan(
        plugins, text, ramp
    )


def test_null_takes_a_loss_or_a_tensor_away_and_stands_for_an_empty_section(plugins):
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    sets = (
        "losses.generator.diversity=null",
        "hooks=null",
        "requires=null",
        "networks.generator.skip=null",
        "tensors.masks=null",
        "tensors.fake_masks=null",
    )
    checked = check_recipe(parse_recipe(text, "r.yaml", sets), plugins)
    assert not checked.tensors
    assert {name for group, name in checked.losses if group == "generator"} == {"adversarial", "style", "cycle"}
    assert set(checked.hooks) == {"progress", "metrics", "checkpoint"}


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        ("{show: x_fak}", "9: use edit needs x_fak, which nothing makes (did you mean x_fake?)"),
        ("{show: grey, source: x_ref}", "9: use edit shows grey, which does not depend on its source x_ref"),
        (
            "{show: grey, inputs: {other: x_ref}}",
            "38: the input other of use edit stands for x_ref, which is no further input of grey; remove it",
        ),
        ("{show: grey, inputs: {other: x_rel}}", "38: there is no batch field x_rel (did you mean x_real?)"),
    ],
)
def test_a_use_that_cannot_be_is_reported_at_its_place(mistakes, use, problem):
    assert mistakes(("losses: g}", f"losses: g}}\nuses:\n  edit: {use}")) == [f"tiny.yaml:21:{problem}"]
