"""`i2i export`: what it writes of a run, and what it refuses and never replaces."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from i2i_core.disk.checkpoints import newest
from i2i_core.errors import CheckpointError
from i2i_core.models.folder import read, write


@pytest.fixture
def model(tiny_model, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "emoji"))


def test_a_model_holds_what_a_translation_needs_and_nothing_else(tiny_model):
    assert sorted(p.name for p in tiny_model.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "recipe.yaml",
        "samples-latent.png",
        "samples-reference.png",
    ]
    config = json.loads((tiny_model / "config.json").read_text())
    assert sorted(config["networks"]) == ["generator", "mapping_network", "style_encoder"]  # no discriminator
    assert config["tensors"] == {"masks": {"use": "fan_mask/everywhere", "of": "x_real"}}
    where = {"latent": {"where": {"s_trg": "s_latent"}}, "reference": {"where": {"s_trg": "s_reference"}}}
    assert config["uses"] == where
    layout = {"format": {"use": "picture"}, "size": [32, 32], "fit": "stretch"}
    assert config["layouts"] == {"x_real": layout, "x_ref": layout}
    assert config["domains"] == config["sources"] == config["targets"] == ["flat", "high_contrast"]
    assert config["plugins"].keys() == {"stargan_v2", "fan_mask"}
    assert config["training"]["steps"] == 2
    with safe_open(tiny_model / "model.safetensors", "pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {*config["networks"]}  # noqa: SIM118


def test_the_weights_are_the_averages(tiny_model, tiny_run):
    saved = newest(tiny_run / "checkpoints", print).parts()
    found = load_file(tiny_model / "model.safetensors")
    for network in ("generator", "mapping_network", "style_encoder"):
        trained = saved[f"networks/{network}"]
        assert all(torch.equal(found[f"{network}.{name}"], saved["hooks/ema"][f"{network}/{name}"]) for name in trained)
        assert not all(torch.equal(found[f"{network}.{name}"], tensor) for name, tensor in trained.items())


def test_the_card_says_how_to_use_it_and_leaves_the_licence_to_its_owner(tiny_model):
    card = (tiny_model / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: i2i\npipeline_tag: image-to-image\n")
    assert "Translates pictures into flat or high_contrast." in card
    assert 'model("photo.jpg", domain="high_contrast", seed=3).save("translated.png")' in card
    assert "| pictures | picture, 32 x 32 pixels |" in card
    assert "![Translations](samples-latent.png)" in card
    assert "The licence of the weights is not stated." in card


def test_an_older_checkpoint_is_exported_by_its_step(call, tiny_run, tmp_path):
    assert call("export", tiny_run, "--to", tmp_path / "m", "--step", 1).code == 0
    assert read(tmp_path / "m").config.training["steps"] == 1
    answer = call("export", tiny_run, "--to", tmp_path / "n", "--step", 7)
    assert (answer.code, answer.err) == (
        2,
        f"there is no checkpoint of step 7 in {tiny_run / 'checkpoints'}; there are 1, 2\n",
    )


def test_nothing_is_overwritten_unless_told_and_what_is_no_model_never(call, tiny_run, model, tmp_path):
    answer = call("export", tiny_run, "--to", model)
    assert (answer.code, answer.err) == (
        2,
        f"{model} already holds a model; choose another folder with --to, or allow it with --overwrite\n",
    )
    (model / "README.md").unlink()
    assert call("export", tiny_run, "--to", model, "--overwrite").code == 0
    assert (model / "README.md").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    answer = call("export", tiny_run, "--to", tmp_path / "mine", "--overwrite")
    assert (answer.code, answer.err) == (
        2,
        f"{tmp_path / 'mine'} exists and holds no model; choose another folder with --to\n",
    )
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_only_a_model_is_replaced_and_never_what_lies_beside_it(call, tiny_run, model, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    for text in ("{}", '{"files": 3}', '{"files": {', "[]"):
        (project / "config.json").write_text(text)
        answer = call("export", tiny_run, "--to", project, "--overwrite")
        assert (answer.code, answer.err) == (
            2,
            f"{project} exists and holds no model; choose another folder with --to\n",
        )
    (model / "thesis.txt").write_text("mine")
    answer = call("export", tiny_run, "--to", model, "--overwrite")
    assert (answer.code, answer.err) == (
        2,
        f"{model} holds thesis.txt besides a model; take it out, or choose another folder with --to\n",
    )
    (model / "thesis.txt").unlink()
    (tmp_path / "latest").symlink_to(model)
    assert call("export", tiny_run, "--to", tmp_path / "latest", "--overwrite").code == 0
    assert (tmp_path / "latest").is_symlink() and read(model).config.training["steps"] == 2
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (".", "..", "../here/.."):
        answer = call("export", tiny_run, "--to", place)
        assert answer.code == 2
    assert answer.err == "../here/.. exists and holds no model; choose another folder with --to\n"
    answer = call("export", tiny_run, "--to", ".")
    assert answer.err == ". is or contains the working directory; choose another folder with --to\n"


def test_what_stops_in_the_middle_of_replacing_a_model_leaves_one(call, tiny_run, model, tmp_path, monkeypatch):
    rename, before = os.rename, (model / "config.json").read_bytes()
    for last in (1, 2):
        calls = iter(range(1, 9))

        def stopped(*paths: Path, last: int = last, calls: Iterator[int] = calls) -> None:
            if next(calls) == last:
                raise KeyboardInterrupt
            rename(*paths)

        with monkeypatch.context() as patch:
            patch.setattr("i2i_core.models.folder.os.rename", stopped)
            assert call("export", tiny_run, "--to", model, "--overwrite").code == 130
        assert (model / "config.json").read_bytes() == before
    assert call("export", tiny_run, "--to", model, "--overwrite").code == 0
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


def test_what_shows_no_pictures_is_not_exported(call, tiny_run, tmp_path):
    for name, use, what in (
        ("masks", "plain", "tuple"),
        ("s_latent", "latent", "[64]"),
        ("generator", "plain", "Generator"),
    ):
        answer = call("export", tiny_run, "--to", tmp_path / "m", "--show", name)
        assert (answer.code, answer.err) == (
            2,
            f"the tensor {name} is not a result of the use {use}: x_ref has the shape 3 x 32 x 32, and it {what}\n",
        )
    assert not (tmp_path / "m").exists()


def test_weights_that_are_no_numbers_are_not_exported(tiny_model, tmp_path):
    model = read(tiny_model)
    networks = {name: {**tensors} for name, tensors in model.networks.items()}
    networks["generator"]["from_rgb.bias"] = torch.full_like(networks["generator"]["from_rgb.bias"], torch.nan)
    with pytest.raises(CheckpointError) as error:
        write(replace(model, networks=networks), tmp_path / "m", {})
    assert str(error.value) == (
        "1 of the weights are not numbers (NaN), first generator.from_rgb.bias: the model cannot translate"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_people_leave_in_a_run_does_not_stop_its_export(call, tiny_run, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    shutil.copytree(run / "checkpoints" / "step-00000002", run / "checkpoints" / "step-best")
    (run / "eval").mkdir(exist_ok=True)
    (run / "eval" / "cut.json").write_text("{")
    (run / "eval" / "own.json").write_text('{"fid": NaN, "best": true, "lpips": 0.5}')
    assert call("export", run, "--to", tmp_path / "m").code == 0
    assert read(tmp_path / "m").config.training["metrics"]["own"] == {"fid": None, "best": True, "lpips": 0.5}
    text = (tmp_path / "m" / "README.md").read_text()
    assert "| own / lpips | 0.5 |" in text and "fid" not in text and "best" not in text
    answer = call("export", run, "--to", tmp_path / "n", "--step", 7)
    assert answer.err == f"there is no checkpoint of step 7 in {run / 'checkpoints'}; there are 1, 2\n"


def test_what_is_no_run_and_a_tensor_that_nothing_makes(call, tiny_run, tmp_path):
    answer = call("export", tmp_path, "--to", tmp_path / "m")
    assert (answer.code, answer.err) == (2, f"{tmp_path} is not a run folder: it has no recipe.yaml\n")
    answer = call("export", tiny_run, "--to", tmp_path / "m", "--show", "x_fakee")
    assert (answer.code, answer.err) == (2, "no phase of the recipe makes the tensor x_fakee (did you mean x_fake?)\n")
    answer = call("export", tiny_run, "--to", tmp_path / "m", "--show", "x_pair")
    reason = "the tensor x_pair needs the true translation, which is not known after training; show another\n"
    assert (answer.code, answer.err) == (2, reason)


def test_a_model_is_no_run(call, model, tmp_path):
    answer = call("export", model, "--to", tmp_path / "m")
    assert (answer.code, answer.err) == (
        2,
        f"{model} is already a model; copy its folder, or choose another format with --as\n",
    )
    answer = call("report", model)
    assert (answer.code, answer.err) == (
        2,
        f"{model} is a model; name the folder of the run from which it was exported\n",
    )


def test_a_place_that_cannot_be_written_is_one_sentence(call, tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    answer = call("export", tiny_run, "--to", tmp_path / "file" / "m")
    assert (answer.code, answer.err) == (74, f"{tmp_path / 'file' / 'm'} cannot be written: Not a directory\n")


def test_a_run_that_has_no_checkpoint_yet(call, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoints"))
    answer = call("export", run, "--to", tmp_path / "m")
    assert (answer.code, answer.err) == (4, f"there is no checkpoint in {run / 'checkpoints'} yet\n")
