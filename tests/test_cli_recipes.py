"""`i2i validate`, `i2i explain` and `i2i init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from i2i_core.registry.plugins import BUNDLED, load_registry_file


def test_a_valid_recipe(i2i, toy):
    answer = i2i("validate", "toy.yaml", *toy)
    assert (answer.code, answer.out, answer.err) == (0, "toy.yaml is valid\n", "")
    assert json.loads(i2i("validate", "toy.yaml", "--json", *toy).out) == {"valid": True, "problems": []}


def test_validate_prints_every_problem_on_a_line_of_its_own(i2i, toy):
    text = Path("toy.yaml").read_text().replace("use: l1", "use: l11")
    Path("toy.yaml").write_text(text)
    answer = i2i("validate", "toy.yaml", "--set", "networks.recolour.widht=4", *toy)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        "--set networks.recolour.widht=4: network toy/recolour has no key widht (did you mean width?)",
        "toy.yaml:9:17: there is no loss called l11 (did you mean l1?)",
    ]


def test_mistakes_that_come_from_set_alone_are_reported_too(i2i, toy):
    answer = i2i("validate", "toy.yaml", "--set", "networks.recolour.widht=4", "--set", "losses.all.same.use=l11", *toy)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        "--set losses.all.same.use=l11: there is no loss called l11 (did you mean l1?)",
        "--set networks.recolour.widht=4: network toy/recolour has no key widht (did you mean width?)",
    ]


def test_validate_as_json_has_places(i2i, toy):
    text = Path("toy.yaml").read_text().replace("target: x_real", "target: x_rael")
    Path("toy.yaml").write_text(text)
    answer = i2i("validate", "toy.yaml", "--json", *toy)
    assert (answer.code, answer.err) == (2, "")
    (problem,) = json.loads(answer.out)["problems"]
    assert (problem["file"], problem["line"]) == ("toy.yaml", 9)
    assert problem["column"] > 0
    assert problem["message"].startswith("nothing makes the tensor x_rael")
    assert problem["hint"] == "did you mean x_real?"


def test_validate_finds_a_size_that_networks_cannot_take_without_training(i2i, toy):
    answer = i2i("validate", "toy.yaml", "--set", "data.image_size=15", *toy)
    assert answer.code == 2
    assert answer.err == "toy.yaml:6:13: network toy/recolour: image_size must be even, not 15\n"
    assert not Path("runs").exists()


def test_validate_finds_what_only_the_data_can_tell(i2i, toy):
    """x_pair is a batch field, but not of a data set without pairs."""
    answer = i2i("validate", "toy.yaml", "--set", "losses.all.same.target=x_pair", *toy)
    assert answer.code == 2
    assert answer.err.startswith("--set losses.all.same.target=x_pair: nothing makes the tensor x_pair")
    for name, how in (("noise", "image_folders with paired: true has them"), ("folders", "write paired: true")):
        data = {"noise": "{use: toy/noise, %s}", "folders": "{use: image_folders, root: set, %s}"}[name]
        for domain in "ab":
            Path("set", domain).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16)).save(f"set/{domain}/0.png")
        sets = ("--set", "data=" + data % "image_size: 16, batch_size: 2", "--set", "losses.all.same.target=x_pair")
        said = i2i("validate", "toy.yaml", *sets, *toy).err
        assert how in said and "classics/side_by_side" in said


def test_validate_builds_hooks_and_losses_too(i2i, toy):
    answer = i2i("validate", "toy.yaml", "--set", "hooks.tell={use: toy/trouble, error: none}", *toy)
    assert answer.code == 2
    assert answer.err.endswith("hook toy/trouble: there is no error none\n")


def test_validate_exits_3_when_the_data_are_missing(i2i, toy):
    use = ("--set", "data={use: image_folders, root: nowhere, image_size: 16, batch_size: 2}")
    answer = i2i("validate", "toy.yaml", *use, *toy)
    assert answer.code == 3
    assert answer.err.endswith("there is no folder nowhere, which should hold one folder of pictures per domain\n")
    answer = i2i("validate", "toy.yaml", "--json", *use, *toy)
    assert answer.code == 3
    assert "there is no folder nowhere" in json.loads(answer.out)["problems"][0]["message"]


def test_a_recipe_that_is_not_there(i2i, toy):
    answer = i2i("validate", "toi.yaml", *toy)
    assert answer.code == 2
    assert answer.err.startswith("there is no recipe toi.yaml, neither as a file nor bundled with an installed plugin")


@pytest.fixture
def core_alone(tmp_path):
    """Options that leave the core alone, as where no plugin is installed."""
    listed = load_registry_file(BUNDLED)
    for row in listed["plugins"].values():
        row["enabled"] = False
    (tmp_path / "alone.yaml").write_text(yaml.safe_dump(listed))
    return "--registry", tmp_path / "alone.yaml"


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ("stargan_v2.yaml", 'pip install "i2i-gan[stargan-v2]"'),
        ("stargan_v2", 'pip install "i2i-gan[stargan-v2]"'),
        ("stargan_v2_afhq.yaml", "pip install i2i-gan-stargan-v2"),
        ("pix2pix.yaml", "pip install i2i-gan-classics i2i-gan-earth"),
    ],
)
def test_a_known_recipe_that_is_not_installed_is_answered_with_what_to_install(i2i, core_alone, recipe, line):
    for subcommand in (("train", "--recipe"), ("validate",), ("explain",), ("data", "check", "--recipe")):
        answer = i2i(*subcommand, recipe, *core_alone)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == (
            f"there is no recipe {recipe}, neither as a file nor bundled with an installed plugin ({line})\n"
        )
    answer = i2i("init", recipe, *core_alone)
    assert (answer.code, answer.err) == (2, f"no installed plugin provides a recipe {recipe} ({line})\n")


def test_a_recipe_of_a_plugin_that_fails_says_why(i2i, core_alone):
    listed = yaml.safe_load(core_alone[1].read_text())
    listed["plugins"]["classics"] |= {"enabled": True, "folder": "", "package": "nothing_of_that_name"}
    core_alone[1].write_text(yaml.safe_dump(listed))
    answer = i2i("validate", "cut.yaml", *core_alone)
    assert answer.code == 2
    assert "(plugin classics is not in use: ModuleNotFoundError: No module named 'nothing_of_that_name'" in answer.err


def test_explain_prints_the_plan(i2i, toy):
    answer = i2i("explain", "toy.yaml", *toy)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "learn  trains recolour",
        "  from the batch: x_real",
        "  tensor  calls     reads   needed by",
        "  x_fake  recolour  x_real  same       graph",
        "  loss  weight                  reads           use",
        "  same  1 to 0.5 over 10 steps  x_fake, x_real  l1",
        "",
    ]


def test_explain_shows_stargan_v2s_sharing(i2i):
    phases = {p["name"]: p for p in json.loads(i2i("explain", "stargan_v2.yaml", "--json").out)["phases"]}
    assert list(phases) == ["d_latent", "d_reference", "g_latent", "g_reference"]
    assert {"content", "x_fake", "masks"} <= set(phases["g_latent"]["reused"])
    assert "x_fake" not in [t["name"] for t in phases["g_latent"]["tensors"]]
    made = {t["name"]: t for t in phases["g_reference"]["tensors"]}
    assert made["s_reference"] == {
        "name": "s_reference",
        "reads": ["x_ref", "y_trg"],
        "networks": ["style_encoder@1"],
        "asked_by": ["x_fake", "g_reference/style"],
        "graph": False,
    }
    assert made["fake_logits"]["networks"] == ["discriminator@2"]
    assert [loss["weight"] for loss in phases["g_latent"]["losses"]][2].startswith("-0.1 to 0 over ")


def test_explain_fits_100_columns(i2i):
    lines = i2i("explain", "stargan_v2.yaml").out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "  from an earlier phase: x_real, content, z_trg, y_trg, s_latent, masks, x_fake, y_org" in lines


def test_init_copies_a_bundled_recipe_and_never_overwrites(i2i, toy):
    answer = i2i("init", "stargan_v2", "--to", "mine.yaml")
    assert (answer.code, answer.out) == (0, "mine.yaml\n")
    assert "i2i train --recipe mine.yaml" in answer.err
    copied = Path("mine.yaml").read_text()
    assert "use: stargan_v2/generator" in copied
    Path("mine.yaml").write_text("edited")
    answer = i2i("init", "stargan_v2.yaml", "--to", "mine.yaml")
    assert (answer.code, answer.err) == (2, "mine.yaml exists; choose another name with --to\n")
    assert Path("mine.yaml").read_text() == "edited"


def test_init_of_an_unknown_recipe_and_into_a_missing_folder(i2i, toy):
    answer = i2i("init", "stargan_v3.yaml")
    assert answer.code == 2
    assert answer.err == "no installed plugin provides a recipe stargan_v3.yaml (did you mean stargan_v2.yaml?)\n"
    answer = i2i("init", "stargan_v2.yaml", "--to", "no/mine.yaml")
    assert (answer.code, answer.err) == (74, "no/mine.yaml cannot be written: No such file or directory\n")
