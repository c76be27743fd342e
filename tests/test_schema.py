"""`i2i schema`: what is right passes, and it finds a mistake of shape where a check finds one."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import BaseModel

from i2i_cli.recipe_schema import recipe_schema
from i2i_core.errors import RecipeError
from i2i_core.plan.check import check_recipe, load
from i2i_core.plan.resolved import dump
from i2i_core.recipe.document import load_text, set_value
from i2i_core.recipe.reading import parse_recipe
from i2i_core.recipe.sections import Augment, Data, Phase, Recipe, Term
from i2i_core.registry.plugins import Plugins

from .test_docs import PAGE

Schema = dict[str, Any]
RIGHT = [
    "steps=1_400",
    "precision=bf16",
    "requires=null",
    "requires={i2i: '>=0.1', stargan_v2: null}",
    "data.image_size=[64, 32]",
    "data.cache=96",
    "data.cache=[64, 80]",
    "data.cache=null",
    "data.gradient_accumulation=2",
    "data.validation=null",
    "data.validation={use: emoji/drawings}",
    "data.targets={flat: high_contrast, high_contrast: [flat]}",
    "data.augment={crop: 0, ratio: [1, 1]}",
    "networks.generator.skip=fan_mask/high_pass",
    "networks.mapping_network=stargan_v2/mapping_network",
    "networks.generator.image_size=[64, 64]",
    "losses.generator.cycle=null",
    "losses.generator.cycle=stargan_v2/cycle",
    "losses.generator.cycle.x_rec=x_fake",
    "losses.generator.cycle.every=16",
    "losses.discriminator.r1.weight=1_000",
    "losses.discriminator.r1.gamma={ramp: [1, 0], over: 9}",
    "losses.discriminator.r1.gamma=1_000",
    "phases.d_latent.every=5",
    "phases.d_latent.until=null",
    "networks.generator.frozen=false",
    "optimizers.default.betas=[0, {ramp: [0.9, 0.99], over: 9}]",
    "optimizers.default.weight_decay={ramp: [1e-4, 0], over: 9}",
    "optimizers.generator.parts={from_rgb.*: {lr_scale: 0.1}}",
    "hooks.ema.decay={ramp: [0.9, 0.99], over: 9}",
    "losses.generator.cycle.weight={ramp: [0, 1], over: 9, after: 9, curve: cosine, warmup: 3}",
    "losses.generator.far={use: l1, input: x_fake, target: x_real}",
    "phases.d_latent.train=discriminator",
    "phases.d_latent.losses=[discriminator]",
    "optimizers=null",
    "optimizers.mapping_network=null",
    "optimizers.mapping_network.clip_norm=1",
    "optimizers.mapping_network={use: sgd, lr: 1}",
    "optimizers.mapping_network.lr={ramp: [1, 0], over: 9}",
    "optimizers={default: {use: sgd, lr: 1e-3}, mapping_network: {momentum: 0.9}}",
    "hooks.checkpoint={every: 9}",
    "hooks.checkpoint=null",
    "hooks.checkpoint=checkpoint",
    "hooks.latent=null",
    "hooks.progress=null",
    "hooks.metrics={every: 1}",
    "trainer=phases",
]
MISFITS = ["tensors.masks=null", "networks.generator.skip=null"]
"""Right in shape: only together they are a recipe."""
WRONG = {  # and where
    "steps=0": "$.steps",
    "steps=many": "$.steps",
    "i2i=2": "$.i2i",
    "stepps=1": "$",
    "precision=fp16": "$.precision",
    "seed=-1": "$.seed",
    "requires={i2i: 1}": "$.requires.i2i",
    "networks=null": "$.networks",
    "networks={}": "$.networks",
    "method=gan/bce": "$.method",
    "method={use: stargan_v2/method, of: x}": "$.method",
    "data={}": "$.data",
    "data.use=emoji/drawing": "$.data.use",
    "data.shuffle=true": "$.data",
    "data.root=x": "$.data",
    "data={use: emoji/drawings, image_size: 64}": "$.data",
    "data={use: image_folders, batch_size: 1, image_size: 8}": "$.data",
    "data.image_size=[64]": "$.data.image_size",
    "data.batch_size=few": "$.data.batch_size",
    "data.cache=[64]": "$.data.cache",
    "data.gradient_accumulation=0": "$.data.gradient_accumulation",
    "data.targets=some": "$.data.targets",
    "data.targets={}": "$.data.targets",
    "data.targets={flat: 3}": "$.data.targets.flat",
    "data.augment.flop=1": "$.data.augment",
    "data.augment.flip=2": "$.data.augment.flip",
    "data.augment.scale=[0.5]": "$.data.augment.scale",
    "data.validation.batch_size=1": "$.data.validation",
    "data.validation.split=vla": "$.data.validation.split",
    "data.validation={use: image_folders}": "$.data.validation",
    "data.validation=emoji/drawings": "$.data.validation",
    "networks.generator.channels=9": "$.networks.generator",
    "networks.generator=stargan_v2/style": "$.networks.generator",
    "networks.generator.max_channels=0": "$.networks.generator.max_channels",
    "networks.generator.skip.strenght=1": "$.networks.generator.skip",
    "networks.generator.skip.strength=high": "$.networks.generator.skip.strength",
    "networks.generator.skip.use=fan_mask/everywhere": "$.networks.generator.skip.use",
    "networks.generator.skip=3": "$.networks.generator.skip",
    "tensors.masks.from=x_real": "$.tensors.masks",
    "tensors.masks.of=3": "$.tensors.masks.of",
    "tensors.masks=fan_mask/heatmaps": "$.tensors.masks",
    "losses=null": "$.losses",
    "losses.generator.style.use=stargan_v2/stlye": "$.losses.generator.style.use",
    "losses.generator.adversarial=stargan_v2/adversarial": "$.losses.generator.adversarial",
    "losses.generator.adversarial.player=referee": "$.losses.generator.adversarial.player",
    "losses.discriminator.r1.gama=1": "$.losses.discriminator.r1",
    "losses.discriminator.r1.gamma=high": "$.losses.discriminator.r1.gamma",
    "losses.discriminator.r1.gamma={ramp: 1}": "$.losses.discriminator.r1.gamma.ramp",
    "losses.discriminator.r1.every=0": "$.losses.discriminator.r1.every",
    "losses.discriminator.r1.weight=heavy": "$.losses.discriminator.r1.weight",
    "losses.discriminator.r1.weight={over: 9}": "$.losses.discriminator.r1.weight",
    "losses.discriminator.r1.weight={ramp: [1]}": "$.losses.discriminator.r1.weight.ramp",
    "losses.discriminator.r1.weight={ramp: [1, 0], ovr: 9}": "$.losses.discriminator.r1.weight",
    "losses.discriminator.r1.weight={ramp: [1, 0], curve: wavy}": "$.losses.discriminator.r1.weight.curve",
    "losses.discriminator.r1.where=[a]": "$.losses.discriminator.r1.where",
    "phases={}": "$.phases",
    "phases.d_latent.lr=1": "$.phases.d_latent",
    "phases.d_latent.train=[]": "$.phases.d_latent.train",
    "phases.d_latent={train: discriminator}": "$.phases.d_latent",
    "phases.d_latent.every=0": "$.phases.d_latent.every",
    "phases.d_latent.until=soon": "$.phases.d_latent.until",
    "networks.generator.frozen=3": "$.networks.generator.frozen",
    "networks.generator.skip.frozen=true": "$.networks.generator.skip",
    "hooks.ema.decay=1": "$.hooks.ema.decay",
    "optimizers.default.betas=[0.9, {ramp: 1}]": "$.optimizers.default.betas[1].ramp",
    "optimizers.default.parts={a: {lr_scale: big}}": "$.optimizers.default.parts.a.lr_scale",
    "optimizers.default.use=adams": "$.optimizers.default.use",
    "optimizers.default.momentum=0.9": "$.optimizers.default",
    "optimizers.default.betas=[0.9]": "$.optimizers.default.betas",
    "optimizers.default.lr=-1": "$.optimizers.default.lr",
    "optimizers.mapping_network.momentum=0.9": "$.optimizers.mapping_network",
    "optimizers.mapping_network.lr={ramp: 1}": "$.optimizers.mapping_network.lr.ramp",
    "optimizers.mapping_network.clip_norm=0": "$.optimizers.mapping_network.clip_norm",
    "optimizers={default: {use: sgd, lr: 1e-3}, mapping_network: {betas: [0, 0]}}": "$.optimizers.mapping_network",
    "hooks.ema={use: ema}": "$.hooks.ema",
    "hooks.ema.decy=1": "$.hooks.ema",
    "hooks.ema=ema": "$.hooks.ema",
    "hooks.ema.networks=3": "$.hooks.ema.networks",
    "hooks.checkpoint={evry: 9}": "$.hooks.checkpoint",
    "hooks.checkpoint={use: metrics, keep: 2}": "$.hooks.checkpoint",
    "hooks.metrics={every: 0}": "$.hooks.metrics.every",
    "trainer=loop": "$.trainer",
}


@pytest.fixture(scope="module")
def schema(plugins: Plugins) -> Schema:
    found, left_out = recipe_schema(plugins)
    assert left_out == []
    Draft202012Validator.check_schema(found)
    return found


@pytest.fixture(scope="module")
def place(schema: Schema) -> Callable[[Any], str]:
    """Where the schema finds the most relevant mistake of a recipe; nowhere is ""."""
    validator = Draft202012Validator(schema)

    def found(data: Any) -> str:
        error = best_match(validator.iter_errors(data))
        return "" if error is None else error.json_path

    return found


@pytest.fixture
def quick(plugins: Plugins) -> str:
    return plugins.recipes()["stargan_v2.yaml"].read_text()


def is_valid(text: str, assignment: str, plugins: Plugins) -> bool:
    """What `i2i validate` thinks of the names, keys and types."""
    try:
        check_recipe(parse_recipe(text, "r.yaml", [assignment]), plugins)
    except RecipeError:
        return False
    return True


def test_bundled_recipes_the_docs_recipe_and_resolved_ones_have_no_mistake(place, plugins):
    texts = {name: path.read_text() for name, path in plugins.recipes().items()}
    texts |= {
        "docs": PAGE,
        "tiny": (Path(__file__).with_name("tiny.yaml")).read_text(),
        "resolved": dump(load("stargan_v2.yaml", (), plugins)),
    }
    assert len(texts) >= 7
    assert {name: place(load_text(text, name).data) for name, text in texts.items()} == dict.fromkeys(texts, "")


@pytest.mark.parametrize("assignment", RIGHT + MISFITS)
def test_what_a_check_accepts_has_no_mistake(place, plugins, quick, assignment):
    document = load_text(quick, "r.yaml")
    set_value(document, assignment)
    assert place(document.data) == ""
    assert is_valid(quick, assignment, plugins) == (assignment in RIGHT)


@pytest.mark.parametrize("assignment", WRONG)
def test_a_mistake_that_a_check_finds_is_found_at_its_place(place, plugins, quick, assignment):
    document = load_text(quick, "r.yaml")
    set_value(document, assignment)
    assert place(document.data) == WRONG[assignment]
    assert not is_valid(quick, assignment, plugins)


def test_a_missing_section_is_a_mistake(place, quick):
    data = load_text(quick, "r.yaml").data
    for section in ("i2i", "steps", "method", "data", "networks", "losses", "phases"):
        assert place({key: value for key, value in data.items() if key != section}) == "$", section
    assert place({key: data[key] for key in data if key not in ("tensors", "optimizers", "hooks")}) == ""


def test_an_editor_may_read_grouped_digits_as_text(place, quick):
    data = load_text(quick, "r.yaml").data
    for steps, where in (("1_400", ""), ("1_400_000", ""), ("14OO", "$.steps"), ("_1", "$.steps")):
        assert place({**data, "steps": steps}) == where


@pytest.mark.parametrize("model", [Recipe, Data, Augment, Term, Phase])
def test_every_key_of_the_core_is_there_and_described(schema: Schema, model: type[BaseModel]) -> None:
    definitions = schema["$defs"]
    where = {
        "Recipe": schema,
        "Data": component(schema, "Data", "image_folders"),
        "Term": component(schema, "Term", "l1"),
    }.get(model.__name__) or definitions[model.__name__]
    assert model.model_fields.keys() <= where["properties"].keys()
    for key in model.model_fields.keys() - {"use"}:
        found = where["properties"][key]
        assert found.get("description") or definitions[found["$ref"].rpartition("/")[2]]["description"], key


def component(schema: Schema, kind: str, name: str) -> Schema:
    (found,) = [
        case["then"]
        for case in schema["$defs"][kind]["else"]["allOf"]
        if case["then"]["properties"]["use"]["const"] == name
    ]
    return dict(found)


def test_names_have_summaries_and_keys_their_types_and_defaults(schema: Schema) -> None:
    named = {
        case["const"]: case["description"] for case in schema["$defs"]["Term"]["else"]["properties"]["use"]["anyOf"]
    }
    assert named["l1"] == "Mean absolute difference of two tensors of the same shape."
    r1 = component(schema, "loss", "r1")
    assert r1["description"].startswith("Gradient penalty on real pictures")
    assert r1["properties"].keys() == {
        "use",
        "gamma",
        "real_logits",
        "x_real_leaf",
        "step",
    }  # nested: nothing of the core's
    assert r1["properties"]["gamma"]["default"] == 1.0
    core = component(schema, "Term", "r1")["properties"].keys() - r1["properties"].keys()
    assert core == {"weight", "every", "where"}
    keys = component(schema, "network", "tiny/generator")["properties"]
    assert keys["kind"] == {"enum": ["slim", "wide"], "type": "string", "default": "slim"}
    assert keys["skip"] == {"anyOf": [{"$ref": "#/$defs/network"}, {"type": "null"}], "default": None}
    assert component(schema, "loss", "tiny/chosen")["properties"].keys() >= {"reads", "x_fake", "x_copy"}


ODD = '''
from collections.abc import Callable
from pathlib import Path
from pydantic import BaseModel
from i2i_core import hookimpl

@hookimpl
def i2i_components(registry):
    registry.hook("odd", "oddities:Odd")
    registry.loss("late", "oddities:make_late")
    registry.hook("gone", "nothing_of_that_name:Gone")
    registry.hook("none", "oddities:NONE")

NONE = 3

class Size(BaseModel):
    side: int

class Odd:
    def __init__(self, *, plain, score: Callable[[int], int] = abs, far: float = float("inf"), size: Size | None = None,
                 folder: Path = Path("a")):
        pass

def make_late(*, count: int):
    """Its tensors are known when it is made."""
    return {2: lambda a, b: a + b}[count]
'''


def test_what_a_schema_cannot_say_is_left_open_and_what_does_not_load_is_left_out(i2i, tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    Path("oddities.py").write_text(ODD)
    team = Path("team.yaml")
    team.write_text("plugins: {broken: {package: nothing_of_that_name}}")
    answer = i2i("schema", "--plugin", "oddities.py", "--registry", team)
    sys.modules.pop("oddities")
    assert answer.code == 0
    assert answer.err.splitlines() == [
        "warning: the schema lacks plugin broken, which does not load: ModuleNotFoundError: No module named "
        "'nothing_of_that_name'",
        "warning: hook oddities/gone of plugin oddities does not load: ModuleNotFoundError: No module named "
        "'nothing_of_that_name'; run i2i plugins, then update or uninstall it",
        "warning: hook oddities/none of plugin oddities does not load: TypeError: NONE is neither a class nor a "
        "function; run i2i plugins, then update or uninstall it",
    ]
    schema = json.loads(answer.out, parse_constant=pytest.fail)
    Draft202012Validator.check_schema(schema)
    hook = component(schema, "hook", "oddities/odd")
    assert hook["required"] == ["use", "plain"]
    assert hook["properties"]["plain"] == {}
    assert hook["properties"]["score"].keys() == {"default"}
    assert hook["properties"]["folder"] == {"format": "path", "type": "string", "default": "a"}
    validator = Draft202012Validator(schema)
    recipe = load_text(quick, "r.yaml").data
    hooks = {
        "right": {"use": "oddities/odd", "plain": [1], "size": {"side": 3}},
        "wrong": {"use": "oddities/odd", "plain": 1, "size": {"side": "x"}},
    }
    losses = {
        "all": {
            "right": {"use": "oddities/late", "count": 2, "a": "x_fake"},
            "wrong": {"use": "oddities/late", "count": 2, "a": 3},
        }
    }
    found = {
        e.json_path
        for top in validator.iter_errors(copy.deepcopy(recipe) | {"hooks": hooks, "losses": losses})
        for e in [best_match([top])]
        if e is not None
    }
    assert {path for path in found if path.startswith(("$.hooks", "$.losses"))} == {
        "$.hooks.wrong.size.side",
        "$.losses.all.wrong.a",
    }


def test_it_is_written_where_one_wants_it(i2i, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert i2i("schema", "--to", "recipe.schema.json") == type(i2i("--help"))(0, "", "")
    assert json.loads(Path("recipe.schema.json").read_text()) == json.loads(i2i("schema").out)
    answer = i2i("schema", "--to", "no/where.json")
    assert (answer.code, answer.err) == (74, "no/where.json cannot be written: No such file or directory\n")


def test_the_curve_of_a_ramp_is_a_schedule_that_has_one(schema: Schema) -> None:
    assert schema["$defs"]["Schedule"]["else"]["properties"]["curve"]["enum"] == ["linear", "cosine"]
