"""`i2i ls` and `i2i show`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import i2i_core.training.losses.penalties


def test_ls_shows_summaries_from_the_catalogue(i2i):
    answer = i2i("ls", "loss")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split(maxsplit=2) for line in answer.out.splitlines()]
    assert ["loss", "l1", "Mean absolute difference of two tensors of the same shape."] in rows
    assert any(row[:2] == ["loss", "stargan_v2/cycle"] for row in rows)
    assert not any(row[0] == "network" for row in rows)


def test_ls_reads_the_summaries_of_an_unknown_plugin_without_importing_its_components(i2i, tmp_path, monkeypatch):
    package = tmp_path / "i2i_garden"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "losses.py").write_text('import nothing\n\n\ndef rose(x):\n    """Red.\n\n    And more."""\n')
    plugin = tmp_path / "garden.py"
    plugin.write_text("""
import i2i_garden
from i2i_core import hookimpl

@hookimpl
def i2i_components(registry):
    registry.loss("rose", "i2i_garden.losses:rose")
    registry.loss("tulip", "i2i_garden.losses:tulip")
    registry.loss("huber", "torch.nn:HuberLoss")
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    answer = i2i("ls", "loss", "--json", "--plugin", str(plugin))
    found = {row["name"]: row["summary"] for row in json.loads(answer.out) if row["plugin"] == "garden"}
    for name in ("garden", "i2i_garden"):
        del sys.modules[name]
    # Another test may have imported torch.
    assert found.pop("garden/huber") in ("", "Creates a criterion that uses a squared term if the absolute")
    assert found == {"garden/rose": "Red.", "garden/tulip": ""}


def test_ls_of_an_unknown_plugin_lists_what_it_knows(i2i, toy):
    found = {row["name"]: row for row in json.loads(i2i("ls", "--json", *toy).out)}
    assert found["toy/recolour"].keys() == {"kind", "name", "plugin", "summary"}
    assert found["checkpoint"]["params"] == {"every": "PositiveInt = 1000", "keep": "PositiveInt = 3"}


def test_ls_of_an_unknown_kind(i2i):
    answer = i2i("ls", "losses")
    assert answer.code == 2
    assert "'losses' is not one of 'network', 'loss', 'tensor'," in answer.err


def test_ls_shows_bundled_recipes_with_their_plugins_and_summaries(i2i, monkeypatch):
    monkeypatch.delenv("COLUMNS")  # as where the output is piped
    rows = json.loads(i2i("ls", "recipe", "--json").out)
    found = {row["name"]: row for row in rows}
    assert found["stargan_v2.yaml"] == {
        "kind": "recipe",
        "name": "stargan_v2.yaml",
        "plugin": "stargan_v2",
        "summary": "StarGAN v2 on emoji: translates colour drawings into line art and back, trained in minutes on two "
        "CPU cores.",
    }
    assert found["cut.yaml"]["plugin"] == "classics"
    assert all(row["kind"] == "recipe" and row["summary"].endswith(".") for row in rows)
    assert json.loads(i2i("ls", "--json").out)[-len(rows) :] == rows
    for line, row in zip(i2i("ls", "recipe").out.splitlines()[1:], rows, strict=False):
        assert line.split()[:2] == ["recipe", row["name"]]
    assert "i2i ls recipe" in i2i("ls", "--help").out


def test_ls_shows_a_recipe_that_begins_without_a_comment(i2i, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain_recipes.py").write_text(
        "from i2i_core import hookimpl\n\n@hookimpl\ndef i2i_recipes():\n    return 'recipes'\n"
    )
    Path("recipes").mkdir()
    Path("recipes/plain.yaml").write_text("i2i: 1\n")
    rows = json.loads(i2i("ls", "recipe", "--json", "--plugin", "plain_recipes.py").out)
    del sys.modules["plain_recipes"]
    assert {"kind": "recipe", "name": "plain.yaml", "plugin": "plain_recipes", "summary": ""} in rows


def test_kinds_are_completed(i2i, monkeypatch):
    for name, value in {"_I2I_COMPLETE": "bash_complete", "COMP_WORDS": "i2i ls re", "COMP_CWORD": "2"}.items():
        monkeypatch.setenv(name, value)
    assert i2i().out == "plain,recipe\n"


def test_show_of_a_recipe_says_what_shows_it(i2i):
    assert i2i("show", "stargan_v2.yaml").err == (
        "stargan_v2.yaml is a recipe; print its plan with i2i explain stargan_v2.yaml, or copy it with i2i init "
        "stargan_v2.yaml\n"
    )


def test_show_gives_keys_tensors_and_the_place_of_the_code(i2i):
    answer = i2i("show", "r1")
    assert answer.code == 0
    assert answer.out.startswith("loss r1\n  Gradient penalty on real pictures")
    assert "  Keys\n    gamma:  float | Schedule = 1.0\n" in answer.out
    assert "  Reads  real_logits, x_real_leaf, step\n" in answer.out
    source = Path(i2i_core.training.losses.penalties.__file__)
    line = 1 + source.read_text().splitlines().index(
        "def r1(real_logits: Nested, x_real_leaf: Tensor, step: int = 0, *, gamma: float | Schedule = 1.0) -> Tensor:"
    )
    assert f"{source}:{line}" in answer.out.replace("\n  ", "")


def test_show_of_a_method_lists_its_tensors(i2i, toy):
    answer = i2i("show", "toy/method", *toy)
    rows = [line.split(maxsplit=1) for line in answer.out.splitlines() if line.startswith("    ")]
    assert ["x_fake", "recolour, x_real"] in rows
    assert not [row for row in rows if row[0].startswith("i2i_")]  # what makes it a plugin is no tensor


def test_show_does_not_pass_off_a_base_class_docstring(i2i, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bare_plugin.py").write_text("""
import torch
from i2i_core import hookimpl

@hookimpl
def i2i_components(registry):
    registry.network("silent", "bare_plugin:Silent")

class Silent(torch.nn.Module):
    def __init__(self, *, depth: int = 2):
        super().__init__()
""")
    silent = i2i("show", "bare_plugin/silent", "--plugin", "bare_plugin.py")
    assert "  Keys\n    depth:  int = 2\n" in silent.out
    assert "Base class for all neural network modules" not in silent.out


def test_show_as_json_lists_every_component_of_that_name(i2i):
    found = json.loads(i2i("show", "regularize/ada", "--json").out)
    assert {facts["kind"] for facts in found} == {"network", "hook"}


def test_show_of_an_unknown_component_says_what_to_do(i2i, tmp_path):
    answer = i2i("show", "stargan_v2/generater")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "there is no component called stargan_v2/generater (did you mean stargan_v2/generator?)\n"
    assert i2i("show", "high_pass").err == (
        "there is no component called high_pass (did you mean fan_mask/high_pass?)\n"
    )
    team = tmp_path / "team.yaml"
    team.write_text("plugins: {broken: {package: nothing_of_that_name}}\nindex: {fan_mask: i2i-gan-fan-mask}\n")
    answer = i2i("show", "fan_mask/high_pass", "--registry", team)
    assert answer.err == "there is no component called fan_mask/high_pass (pip install i2i-gan-fan-mask)\n"
    answer = i2i("show", "broken/loss", "--registry", team)
    assert answer.err == (
        "there is no component called broken/loss (plugin broken is not in use: "
        "ModuleNotFoundError: No module named 'nothing_of_that_name')\n"
    )
