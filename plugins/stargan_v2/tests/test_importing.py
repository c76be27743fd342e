"""Checkpoints as the original saves them become models that compute what it computes, and trainings go on from them."""

from __future__ import annotations

import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file

import i2i
from i2i.style import Style
from i2i.translator import Translator
from i2i_core.errors import CheckpointError, I2IError, PluginError, UsageError
from i2i_core.models.folder import read
from i2i_core.plan.check import load
from i2i_core.recipe.document import load_text
from i2i_core.registry.plugins import discover
from i2i_core.training.peak_memory import predicted_peak
from i2i_stargan_v2.golden import TOLERANCE, Case, _relative
from i2i_stargan_v2.importing import command
from i2i_stargan_v2.original import understood
from tests.runs import logged, train

GOLDEN = Path(__file__).parent / "golden"
EMA = ("generator", "mapping_network", "style_encoder")


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def error(*arguments: Any) -> I2IError:
    answer = call(*arguments)
    assert isinstance(answer.exception, I2IError)
    return answer.exception


@pytest.fixture(scope="module")
def small(nets, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of the small cases: afhq64 of a _nets.ckpt in the old format, celeba64 of a _nets_ema.ckpt with FAN."""
    folder = tmp_path_factory.mktemp("models")
    torch.save(
        nets("afhq64", (*EMA, "discriminator")), folder / "000001_nets.ckpt", _use_new_zipfile_serialization=False
    )
    torch.save(nets("celeba64", (*EMA, "fan"), ""), folder / "100000_nets_ema.ckpt")
    for name, file in (("afhq64", "000001_nets.ckpt"), ("celeba64", "100000_nets_ema.ckpt")):
        answer = call(folder / file, "--to", folder / name)
        assert (answer.exit_code, answer.stdout) == (0, f"{folder / name}\n")
    return {name: folder / name for name in ("afhq64", "celeba64")}


def assert_golden(folder: Path, name: str) -> None:
    """A model computes what is recorded of a case: styles, and translations with its own masks."""
    case = Case(GOLDEN / name)
    model = Translator(read(folder), discover(), torch.device("cpu"), case.dtype)
    given, stride = case.inputs(), case.facts["pixel_stride"]
    codes = {
        "latent": model.networks["mapping_network"](given["z_trg"], given["y_trg"]),
        "reference": model.networks["style_encoder"](given["x_ref"], given["y_trg"]),
    }
    sources = model.sources(given["x_real"])
    found = {"mapping_network": codes["latent"], "style_encoder": codes["reference"]}
    found |= {
        f"generator.{guide}": sources.into(Style(guide, 0, {"s_trg": s}))[..., ::stride, ::stride]
        for guide, s in codes.items()
    }
    wrong = {key: _relative(value, case.arrays[key]) for key, value in found.items()}
    assert {key: e for key, e in wrong.items() if not e <= TOLERANCE[case.facts["dtype"]]} == {}


@pytest.mark.parametrize("name", ["afhq64", "celeba64"])
def test_an_imported_model_computes_what_the_original_computes(name: str, small: dict[str, Path]) -> None:
    assert_golden(small[name], name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["afhq256_full", "celeba256_full"])
def test_so_does_one_of_the_full_size(nets, name: str, tmp_path: Path) -> None:
    torch.save(nets(name, (*EMA, *(["fan"] if name.startswith("celeba") else []))), tmp_path / "nets_ema.ckpt")
    answer = call(tmp_path / "nets_ema.ckpt", "--to", tmp_path / "model")
    domains = "female, male, w_hpf 1" if name.startswith("celeba") else "cat, dog, wild, w_hpf 0"
    assert answer.stderr == f"256 x 256 pixels, domains {domains}\n"
    assert_golden(tmp_path / "model", name)
    recipe = load_text((tmp_path / "model" / "recipe.yaml").read_text(), "recipe.yaml").data
    assert recipe["networks"]["mapping_network"] == {
        "use": "stargan_v2/mapping_network",
        "latent_dim": 16,
        "style_dim": 64,
        "hidden_dim": 512,
    }
    assert recipe["networks"]["discriminator"] == {
        "use": "stargan_v2/discriminator",
        "channel_base": 16384,
        "max_channels": 512,
    }


def test_an_imported_model_translates_pictures_in_three_lines(small: dict[str, Path]) -> None:
    model = i2i.load(small["celeba64"], device="cpu")
    picture = Image.effect_noise((80, 60), 50).convert("RGB")
    latent, reference = model(picture, domain="male", seed=3), model(picture, domain="female", reference=picture)
    assert latent.size == reference.size == (64, 64)
    assert latent.tobytes() != reference.tobytes()


def test_a_folder_says_what_was_imported(small: dict[str, Path]) -> None:
    assert {path.name for path in small["celeba64"].iterdir()} == {
        "README.md",
        "config.json",
        "fan.safetensors",
        "model.safetensors",
        "recipe.yaml",
    }
    config = read(small["celeba64"]).config
    assert (config.domains, config.image_size) == (["female", "male"], (64, 64))
    assert config.training == {"imported from": "100000_nets_ema.ckpt"}
    assert "\n| imported from | 100000_nets_ema.ckpt |\n" in (small["celeba64"] / "README.md").read_text()
    assert (small["celeba64"] / "recipe.yaml").read_text().splitlines()[:2] == [
        "# StarGAN v2, imported from 100000_nets_ema.ckpt: 64 x 64 pixels, domains female, male, w_hpf 1.",
        f"# To continue training: i2i train --recipe {small['celeba64']}/recipe.yaml --set data.root=FOLDER "
        f"--set data.validation.root=FOLDER",
    ]
    assert not any(name.startswith("discriminator.") for name in load_file(small["celeba64"] / "model.safetensors"))
    assert {path.name for path in small["afhq64"].iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "recipe.yaml",
    }
    assert any(name.startswith("discriminator.") for name in load_file(small["afhq64"] / "model.safetensors"))


def test_other_numbers_of_domains_are_numbered_or_named(nets, given, tmp_path: Path) -> None:
    content = nets("afhq64", EMA)
    for network, shape in (("mapping_network", "unshared.0."), ("style_encoder", "unshared.0.")):
        content[network] |= {
            key.replace(shape, "unshared.3."): tensor for key, tensor in content[network].items() if shape in key
        }
    tensors = {f"{network}/{key}": t for network, state in content.items() for key, t in state.items()}
    assert understood(tensors, "nets.ckpt").domains == ["domain_0", "domain_1", "domain_2", "domain_3"]
    given(tensors)
    assert call("nets.ckpt", "--to", tmp_path / "model", "--domains", "a,b,c,d").exit_code == 0
    assert read(tmp_path / "model").config.domains == ["a", "b", "c", "d"]


def test_fan_in_a_file_without_a_filter_is_left_out(flat, given, tmp_path: Path) -> None:
    """The file that was published for AFHQ has one."""
    given({**flat("afhq64", EMA), **flat("celeba64", ("fan",))})
    assert call("nets.ckpt", "--to", tmp_path / "model").exit_code == 0
    assert not (tmp_path / "model" / "fan.safetensors").exists()


# What is refused


def test_what_holds_no_networks_of_stargan_v2_is_said(flat, given, tmp_path: Path) -> None:
    whole = flat("afhq64", EMA)
    for content, lacks in (
        ({"generator/state/0/exp_avg": torch.zeros(2)}, "from_rgb.weight of the generator"),
        ({}, "from_rgb.weight of the generator"),
        (
            {key: t for key, t in whole.items() if not key.startswith("mapping")},
            "shared.0.weight of the mapping_network",
        ),
        ({key: t for key, t in whole.items() if "shared.6." not in key}, "shared.6.weight of the style_encoder"),
    ):
        given(content)
        refused = error("100000_optims.ckpt", "--to", tmp_path / "model")
        assert isinstance(refused, CheckpointError)
        assert str(refused) == (f"100000_optims.ckpt is not a checkpoint of StarGAN v2's networks: it lacks {lacks}")
    assert list(tmp_path.iterdir()) == []


def test_tensors_that_do_not_fit_together_are_said(flat, given, tmp_path: Path) -> None:
    content = flat("afhq64", EMA, "")
    content["generator/to_rgb.2.bias"] = torch.zeros(4)
    given(content)
    assert str(error("nets.ckpt", "--to", tmp_path / "model")) == (
        "the weights of nets.ckpt do not fit a StarGAN v2 of its size. only in the network: generator: to_rgb.2.bias "
        "[3]. only in the checkpoint: generator: to_rgb.2.bias [4]"
    )
    content = flat("afhq64", EMA, "")
    content["style_encoder/shared.6.weight"] = torch.zeros(64, 64, 9, 9)
    given(content)
    assert str(error("nets.ckpt", "--to", tmp_path / "model")) == (
        "nets.ckpt cannot be used: network stargan_v2/generator: image_size 144x144 cannot be halved 5 times: with a "
        "shorter side of 144 both sides must be multiples of 32, for example 128x128."
    )


def test_the_names_of_domains_must_be_as_many_as_the_domains(flat, given, tmp_path: Path) -> None:
    given(flat("afhq64", EMA))
    for arguments, said in (
        (("--domains", "cat,dog"), "nets.ckpt has 3 domains, but --domains names 2; name each of them once"),
        (("--domains", "cat,dog,wild,cat"), "nets.ckpt has 3 domains, but --domains names 4; name each of them once"),
        (("--domains", "cat,dog, dog"), "--domains names dog twice; give each domain a name of its own"),
        (("--fan", "x"), "the generator of nets.ckpt uses no masks; leave out --fan"),
        (("--w-hpf", "3"), "the generator of nets.ckpt uses no masks, so its w_hpf is 0; leave out --w-hpf"),
    ):
        assert str(error("nets.ckpt", "--to", tmp_path / "model", *arguments)) == said
    assert call("nets.ckpt", "--to", tmp_path / "model", "--domains", "a, b ,c").exit_code == 0
    assert read(tmp_path / "model").config.domains == ["a", "b", "c"]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """without("fan_mask/face68"): no such component is there, nor any whose name begins so."""
    plugins = discover()
    entries = list(plugins.registry)
    monkeypatch.setattr("i2i_core.registry.plugins.discover", lambda: plugins)

    def take(name: str) -> None:
        for plugin in {entry.plugin for entry in entries}:
            plugins.registry.remove_plugin(plugin)
        for entry in entries:
            if not entry.name.startswith(name):
                plugins.registry.add(entry)

    return take


def test_a_skip_needs_its_plugin_and_masks_need_fan_or_what_replaces_it(flat, given, without, tmp_path: Path) -> None:
    given(flat("celeba64", EMA))
    without("fan_mask/")
    refused = error("nets.ckpt", "--to", tmp_path / "model")
    assert isinstance(refused, PluginError)
    assert str(refused) == (
        "the generator of nets.ckpt uses masks, which need the plugin fan_mask; pip install i2i-gan-fan-mask"
    )
    without("fan_mask/face68")
    refused = error("nets.ckpt", "--to", tmp_path / "model")
    assert isinstance(refused, UsageError)
    assert str(refused) == (
        "the generator of nets.ckpt uses masks, but the file contains no FAN; give FAN's weights with --fan wing.ckpt"
    )


def test_without_fan_masks_come_from_face68(flat, given, tmp_path: Path) -> None:
    given(flat("celeba64", EMA))
    answer = call("nets.ckpt", "--to", tmp_path / "model")
    assert answer.stderr.splitlines()[0] == (
        "warning: fan_mask/face68 computes the masks instead of the FAN of the training; give FAN's weights with "
        "--fan wing.ckpt to get the translations of the original"
    )
    assert read(tmp_path / "model").config.tensors["masks"].use == "fan_mask/face68"
    assert not (tmp_path / "model" / "fan.safetensors").exists()
    picture = Image.effect_noise((64, 64), 50).convert("RGB")
    assert i2i.load(tmp_path / "model", device="cpu")(picture, domain="male").size == (64, 64)


def test_fan_comes_from_a_file_of_its_own(nets, flat, given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fan = nets("celeba64", ("fan",), "")["fan"]
    files = {
        "nets.ckpt": flat("celeba64", EMA),
        "wing.ckpt": {f"state_dict/module.{name}": tensor for name, tensor in fan.items()},
        "bad.ckpt": {"state_dict/l0.bias": torch.zeros(99)},
        "empty.ckpt": {},
    }
    monkeypatch.setattr("i2i_core.disk.sandbox.read_apart", lambda path: files[str(path)])
    assert call("nets.ckpt", "--to", tmp_path / "model", "--fan", "wing.ckpt").exit_code == 0
    found = load_file(tmp_path / "model" / "fan.safetensors")
    assert found.keys() == fan.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in fan.items())
    assert str(error("nets.ckpt", "--to", tmp_path / "other", "--fan", "bad.ckpt")) == (
        "nets.ckpt cannot be used: tensor fan_mask/heatmaps: bad.ckpt lacks 335 of FAN's 336 tensors, first "
        "conv1.conv.weight"
    )
    assert str(error("nets.ckpt", "--to", tmp_path / "other", "--fan", "empty.ckpt")) == (
        "empty.ckpt contains no weights of FAN; give a wing.ckpt or its .safetensors with --fan"
    )


def test_nothing_is_overwritten_unless_told(flat, given, small: dict[str, Path], tmp_path: Path) -> None:
    given(flat("afhq64", EMA))
    shutil.copytree(small["afhq64"], tmp_path / "model")
    refused = error("nets.ckpt", "--to", tmp_path / "model")
    assert isinstance(refused, UsageError)
    assert str(refused) == (
        f"{tmp_path / 'model'} already holds a model; choose another folder with --to, or allow it with --overwrite"
    )
    assert call("nets.ckpt", "--to", tmp_path / "model", "--overwrite").exit_code == 0
    assert "discriminator" not in read(tmp_path / "model").networks


class Payload:
    """Touches a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.marker}'",)


def test_a_malicious_checkpoint_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    torch.save({"generator": OrderedDict({"module.more": Payload(tmp_path / "ran")})}, tmp_path / "nets.ckpt")
    refused = error(tmp_path / "nets.ckpt", "--to", tmp_path / "model")
    assert (refused.exit_code, str(refused)) == (
        4,
        f"{tmp_path / 'nets.ckpt'} is refused: its pickle asks for posix.system, which could run code; only tensors "
        f"are loaded",
    )
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "model").exists()
    torch.load(tmp_path / "nets.ckpt", weights_only=False)
    assert (tmp_path / "ran").exists(), "the payload is no real one"


# Training on


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed, domain in enumerate(("cat", "dog", "wild")):
        (folder / domain).mkdir()
        noise = np.random.RandomState(seed).randint(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(folder / domain / "noise.png")
    return folder


def losses(folder: Path, recipe: Path, pictures: Path, *sets: str) -> dict[str, float]:
    """Train one iteration and return its losses."""
    train(
        folder,
        f"data.root={pictures}",
        "data.validation=null",
        "data.batch_size=2",
        "data.workers=0",
        "steps=1",
        "hooks={progress: null, metrics: {every: 1}, ema: {use: stargan_v2/ema, networks: [generator]}}",
        *sets,
        recipe=recipe,
    )
    (first,) = logged(folder)
    return {name: value for name, value in first.items() if "/" in name}


def test_training_goes_on_from_an_imported_checkpoint(small: dict[str, Path], pictures: Path, tmp_path: Path) -> None:
    recipe = small["afhq64"] / "recipe.yaml"
    imported = losses(tmp_path / "imported", recipe, pictures)
    fresh = losses(tmp_path / "fresh", recipe, pictures, "weights=null")
    assert imported.keys() == fresh.keys()
    assert imported["g_latent/style"] != pytest.approx(fresh["g_latent/style"], rel=1e-2)
    assert imported["d_latent/r1"] != pytest.approx(fresh["d_latent/r1"], rel=1e-2), "the discriminator came too"
    assert json.loads((tmp_path / "imported" / "status.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_the_memory_of_training_on_is_predicted(small: dict[str, Path], pictures: Path, tmp_path: Path) -> None:
    for ours, theirs in (("female", "cat"), ("male", "dog")):
        shutil.copytree(pictures / theirs, tmp_path / ours)
    sets = [f"data.root={tmp_path}", "data.validation=null", "data.batch_size=2", "hooks=null"]
    peak = predicted_peak(load(small["celeba64"] / "recipe.yaml", sets, discover()))
    assert peak > sum(t.nbytes for t in read(small["celeba64"]).networks["generator"].values()) / 2
