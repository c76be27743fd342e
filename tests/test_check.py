"""Names, keys and types of a recipe's components: every mistake at its place, with what to do about it."""

from __future__ import annotations

import pytest

from i2i_core import hookimpl
from i2i_core.errors import PluginError, Problem, RecipeError
from i2i_core.registry.plugins import Plugin
from i2i_core.registry.specs import build


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "use: tiny/generator",
            "use: tiny/generater",
            "7:20: there is no network called tiny/generater (did you mean tiny/generator?)",
        ),
        (
            "tiny/discriminator",
            "tiny/discriminater",
            "8:18: there is no network called tiny/discriminater (did you mean tiny/discriminator?)",
        ),
        ("tiny/discriminator", "l1", "8:18: there is no network called l1 (l1 is a loss)"),
        ("tiny/method", "tiny/metod", "4:9: there is no method called tiny/metod (did you mean tiny/method?)"),
        ("use: tiny/noise", "use: tiny/nois", "5:13: there is no dataset called tiny/nois (did you mean tiny/noise?)"),
        ("use: tiny/grey", "use: tiny/gray", "10:15: there is no tensor called tiny/gray (did you mean tiny/grey?)"),
        ("use: ema", "use: emma", "24:14: there is no hook called emma (did you mean ema?)"),
        ("default: {use: adam", "default: {use: adm", "21:18: there is no optimizer called adm (did you mean adam?)"),
        ("lr: 2e-3", "use: sgdd", "22:24: there is no optimizer called sgdd (did you mean sgd?)"),
        ("steps: 4", "steps: 4\ntrainer: phase", "4:10: there is no trainer called phase (did you mean phases?)"),
        (
            "tiny/discriminator",
            "elsewhere/unet",
            "8:18: there is no network called elsewhere/unet (no plugin called elsewhere is installed)",
        ),
        ("width: 4", "skip: {use: tiny/skop}", "7:48: there is no network called tiny/skop (did you mean tiny/skip?)"),
        ("width: 4", "skip: tiny/skop", "7:42: there is no network called tiny/skop (did you mean tiny/skip?)"),
    ],
)
def test_an_unknown_component_is_reported_with_what_may_be_meant(mistakes, old, new, problem):
    assert mistakes((old, new)) == [f"tiny.yaml:{problem}"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("width: 4", "wdith: 4", "7:36: network tiny/generator has no key wdith (did you mean width?)"),
        (
            "width: 4",
            "colour: red",
            "7:36: network tiny/generator has no key colour (known: frozen, kind, num_domains, size, skip, width)",
        ),
        (
            "width: 4",
            "skip: {use: tiny/skip, strenght: 2}",
            "7:59: network tiny/skip has no key strenght (did you mean strength?)",
        ),
        ("weight: 0.5", "wieght: 0.5", "16:52: loss tiny/distance has no key wieght (did you mean weight?)"),
        ("weight: 0.5", "evry: 2", "16:52: loss tiny/distance has no key evry (did you mean every?)"),
        (
            "use: tiny/noise",
            "use: tiny/noise, bach_size: 2",
            "5:25: dataset tiny/noise has no key bach_size (did you mean batch_size?)",
        ),
        ("split: val", "splt: val", "5:68: dataset tiny/noise has no key splt (did you mean split?)"),
        (
            "lr: 2e-3",
            "momentum: 0.5",
            "22:19: optimizer adam has no key momentum (known: betas, clip_norm, eps, lr, parts, weight_decay)",
        ),
        ("lr: 1e-3", "l_r: 1e-3", "21:24: optimizer adam has no key l_r (did you mean lr?)"),
        ("tiny/method", "{use: tiny/method, size: 4}", "4:28: method tiny/method has no key size"),
        ("steps: 4", "steps: 4\ntrainer: {use: phases, sped: 1}", "4:24: trainer phases has no key sped"),
        (
            "use: tiny/distance, a: x_fake, b: grey",
            "use: tiny/chosen, reads: one, x_copy: grey",
            "16:42: loss tiny/chosen has no key x_copy (known: every, norm, reads, weight, where, x_fake)",
        ),
    ],
)
def test_an_unknown_key_is_reported_with_what_may_be_meant(mistakes, old, new, problem):
    assert mistakes((old, new)) == [f"tiny.yaml:{problem}"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (", player: generator", "", "15:5: loss gan/hinge needs the key player"),
        ("networks: [generator]", "decay: 0.9", "24:3: hook ema needs the key networks"),
        ("use: tiny/distance, a: x_fake, b: grey", "use: tiny/chosen", "16:5: loss tiny/chosen needs the key reads"),
        ("lr: 2e-3", "use: sgd", "22:3: optimizer sgd needs the key lr"),
        ("use: tiny/noise", "use: image_folders", "5:1: dataset image_folders needs the key root"),
    ],
)
def test_a_key_that_is_needed_is_reported_where_it_is_to_be_added(mistakes, old, new, problem):
    assert mistakes((old, new))[0] == f"tiny.yaml:{problem}"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("width: 4", "width: many", "7:43: networks.generator.width should be a whole number, not 'many'"),
        ("width: 4", "width: 2.5", "7:43: networks.generator.width should be a whole number, not 2.5"),
        (
            "width: 4",
            "width: {use: tiny/skip}",
            "7:43: networks.generator.width should be a whole number, not {'use': 'tiny/skip'}",
        ),
        ("width: 4", "kind: fat", "7:42: networks.generator.kind should be 'slim' or 'wide', not 'fat'"),
        ("width: 4", "size: big", "7:42: networks.generator.size should be a whole number or a list, not 'big'"),
        ("width: 4", "skip: 5", "7:42: networks.generator.skip should be a component, not 5"),
        (
            "width: 4",
            "skip: {use: tiny/skip, strength: [2]}",
            "7:69: networks.generator.skip.strength should be a number, not [2]",
        ),
        (
            "tiny/discriminator",
            "{use: tiny/discriminator, twin: g}",
            "8:50: networks.discriminator.twin: there is no network g in the recipe (known: discriminator, generator)",
        ),
        ("weight: 0.5", "norm: 1e-4", "16:58: losses.g.near.norm should be a whole number, not 0.0001"),
        (
            "weight: 0.5",
            "names: [generator, disciminator]",
            "16:71: losses.g.near.names.1: there is no network "
            "disciminator in the recipe (did you mean discriminator?)",
        ),
        ("b: grey", "b: 5", "16:46: losses.g.near.b should be text, not 5"),
        (
            "player: generator",
            "player: nobody",
            "15:43: losses.g.adversarial.player should be 'discriminator' or 'generator', not 'nobody'",
        ),
        (
            "networks: [generator]",
            "networks: [generater]",
            "24:30: hooks.ema.networks.0: there is no network generater in the recipe (did you mean generator?)",
        ),
        ("networks: [generator]", "networks: generator", "24:29: hooks.ema.networks should be a list, not 'generator'"),
        ("lr: 1e-3", "lr: fast", "21:28: optimizers.default.lr should be a number, not 'fast'"),
        ("lr: 2e-3", "lr: fast", "22:23: optimizers.discriminator.lr should be a number, not 'fast'"),
        ("betas: [0.0, 0.99]", "betas: [0, no]", "21:45: optimizers.default.betas.1 should be a number, not 'no'"),
        ("lr: 2e-3", "lr: {ramp: [1, 0], ovr: 5}", "22:38: schedule linear has no key ovr (did you mean over?)"),
        ("lr: 1e-3", "lr: {ramp: [1, x], over: 5}", "21:39: optimizers.default.lr.ramp.1 should be a number, not 'x'"),
        ("use: tiny/noise", "use: tiny/noise, root: 5", "5:31: data.root should be a path, not 5"),
        ("split: val", "split: test", "5:75: data.validation.split should be 'train' or 'val', not 'test'"),
        (
            "  discriminator: {lr",
            "  discriminater: {lr",
            "22:3: optimizers.discriminater: there is no network discriminater in the recipe (did you mean "
            "discriminator?)",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_reported_where_it_stands(mistakes, old, new, problem):
    assert mistakes((old, new)) == [f"tiny.yaml:{problem}"]


def test_a_mistake_that_several_components_inherit_is_reported_once(mistakes):
    """Both networks take betas from the default, and the held-out pictures take root from the others."""
    assert mistakes(("betas: [0.0, 0.99]", "betas: 0.9"), ("use: tiny/noise", "use: tiny/noise, rot: 5")) == [
        "tiny.yaml:5:25: dataset tiny/noise has no key rot (did you mean root?)",
        "tiny.yaml:21:41: optimizers.default.betas should be a list, not 0.9",
    ]


def test_a_mistake_in_a_set_of_an_optimizer_is_not_the_defaults(mistakes):
    assert mistakes(sets=("optimizers.discriminator={lr: fast}",)) == [
        "--set optimizers.discriminator={lr: fast}: optimizers.discriminator.lr should be a number, not 'fast'"
    ]


def test_a_nested_component_is_checked_and_built(check):
    spec = check(("width: 4", "skip: {use: tiny/skip, strength: 2}")).networks["generator"]
    assert spec.params["skip"].params == {"strength": 2.0}
    assert build(spec.params["skip"], {}).strength == 2.0


def test_a_nested_component_may_be_its_name_alone_or_null(check):
    assert check(("width: 4", "skip: tiny/skip")).networks["generator"].params["skip"].entry.name == "tiny/skip"
    assert check(("width: 4", "skip: null")).networks["generator"].params == {"skip": None}


def test_values_are_given_the_types_that_constructors_ask_for(check):
    spec = check(("betas: [0.0, 0.99]", "betas: [0, 0]"), ("width: 4", "size: [4, 8]"))
    assert [type(beta) for beta in spec.optimizers["generator"].spec.params["betas"]] == [float, float]
    assert spec.networks["generator"].params["size"] == (4, 8)


def test_facts_of_the_data_may_be_left_out_and_may_be_given(check):
    spec = check(("width: 4", "num_domains: 3")).networks["generator"]
    assert spec.params == {"num_domains": 3}
    assert check().networks["generator"].params == {"width": 4}


def test_a_value_that_a_constructor_refuses_is_a_problem_with_its_place(check):
    spec = check(("of: x_real", "of: x_real, power: -1")).tensors["grey"]
    with pytest.raises(RecipeError) as error:
        build(spec, {})
    assert str(error.value) == "tiny.yaml:10:9: tensor tiny/grey: power must not be negative, as -1.0 is"


@pytest.mark.parametrize(
    ("requires", "problem"),
    [
        ("{i2i: '>=9'}", '17: the recipe requires i2i >=9, and 0.1.0 is installed (pip install "i2i-gan>=9")'),
        (
            "{stargan_v2: '<0.1'}",
            '24: the recipe requires stargan_v2 <0.1, and 0.1.0 is installed (pip install "i2i-gan-stargan-v2<0.1")',
        ),
        (
            "{nobody-has-this: '>=1'}",
            "29: the recipe requires nobody-has-this >=1, which is not installed (no known plugin; if a distribution, "
            'pip install "nobody-has-this>=1")',
        ),
        ("{i2i: newest}", "17: 'newest' is not a version range (write for example \">=0.1,<1\")"),
        ("{i2i: 1}", "17: requires.i2i should be text, not 1"),
    ],
)
def test_what_a_recipe_requires_must_be_installed(mistakes, requires, problem):
    assert mistakes(("steps: 4", f"steps: 4\nrequires: {requires}")) == [f"tiny.yaml:4:{problem}"]


def test_what_is_required_and_there_is_no_mistake(check):
    check(("steps: 4", "steps: 4\nrequires: {i2i: '>=0.1', stargan_v2: '<1', tiny: '>=1', torch: '>=2'}"))


def test_a_plugin_that_could_be_installed_is_named(mistakes, plugins, monkeypatch):
    monkeypatch.setitem(plugins.listed, "index", {"unets": "i2i-unets", "vgg/perceptual": "vgg-losses"})
    assert mistakes(("use: tiny/generator, width: 4", "use: unets/small"), ("tiny/distance", "vgg/perceptual")) == [
        "tiny.yaml:7:20: there is no network called unets/small (pip install i2i-unets)",
        "tiny.yaml:16:17: there is no loss called vgg/perceptual (pip install vgg-losses)",
    ]
    assert mistakes(("steps: 4", "steps: 4\nrequires: {unets: '>=1'}")) == [
        'tiny.yaml:4:19: the recipe requires unets >=1, which is not installed (pip install "i2i-unets>=1")'
    ]


def test_a_plugin_that_does_not_load_says_why(mistakes, plugins, monkeypatch):
    monkeypatch.setattr(plugins, "rows", [*plugins.rows, Plugin("unets", error="ImportError: no unets today")])
    assert mistakes(("use: tiny/generator, width: 4", "use: unets/small")) == [
        "tiny.yaml:7:20: there is no network called unets/small (plugin unets is not in use: ImportError: no unets "
        "today)"
    ]


def test_of_two_distributions_of_one_plugin_the_one_in_use_counts(check, mistakes, plugins, monkeypatch):
    second = Plugin("stargan_v2", "2.14", "torch", error="i2i-gan-stargan-v2 already brings it")
    monkeypatch.setattr(plugins, "rows", [*plugins.rows, second])
    check(("steps: 4", "steps: 4\nrequires: {stargan_v2: '<1'}"))
    assert mistakes(("use: tiny/generator, width: 4", "use: stargan_v2/unet")) == [
        "tiny.yaml:7:20: there is no network called stargan_v2/unet (torch is not in use: i2i-gan-stargan-v2 already "
        "brings it)"
    ]


def test_the_plugins_of_this_tree_are_in_the_index(plugins):
    names = (
        "stargan_v2",
        "fan_mask",
        "emoji",
        "earth",
        "regularize",
        "classics",
        "spade",
        "multispectral",
        "inpainting",
        "stargan_v1",
        "munit",
        "esrgan",
    )
    assert {name: f"i2i-gan-{name.replace('_', '-')}" for name in names}.items() <= plugins.index.items()


def careless(opinion):
    """A plugin whose opinion is a mistake: what is raised or returned."""

    class Careless:
        @hookimpl
        def i2i_check(self):
            if isinstance(opinion, BaseException):
                raise opinion
            return opinion

    return Careless()


INSTEAD = "TypeError: i2i_check returns {} instead of a list of Problem"


@pytest.mark.parametrize(
    ("opinion", "said"),
    [
        (KeyError("steps"), "KeyError: 'steps'"),
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit("bye"), "GeneratorExit: bye"),
        ("it is bad", INSTEAD.format("'it is bad'")),
        (["it is bad"], INSTEAD.format("['it is bad']")),
        ({"steps": "bad"}, INSTEAD.format("{'steps': 'bad'}")),
        (7, "TypeError: 'int' object is not iterable"),
        (True, "TypeError: 'bool' object is not iterable"),
    ],
)
def test_a_plugin_that_fails_to_check_a_recipe_is_named(check, plugins, opinion, said):
    plugins.manager.register(careless(opinion), "careless")
    try:
        with pytest.raises(PluginError) as error:
            check()
        assert str(error.value) == f"plugin careless fails to check the recipe: {said}; update or uninstall it"
    finally:
        plugins.manager.unregister(name="careless")


class Strict:
    """A plugin that has an opinion on recipes."""

    @hookimpl
    def i2i_check(self, recipe):
        return [Problem("seven is unlucky", recipe.mark("steps"))] if recipe.steps == 7 else []


def test_what_a_plugin_finds_wrong_is_reported_with_the_rest(mistakes, plugins, check):
    plugins.manager.register(Strict(), "strict")
    try:
        check()
        assert mistakes(("steps: 4", "steps: 7"), ("width: 4", "width: x")) == [
            "tiny.yaml:3:8: seven is unlucky",
            "tiny.yaml:7:43: networks.generator.width should be a whole number, not 'x'",
        ]
    finally:
        plugins.manager.unregister(name="strict")
