"""Values of formats that fit them as floats reach the networks as in training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from i2i.card import card
from i2i.survey.facts import facts_of
from i2i.translator import Translator
from i2i_cli.using import read_inputs, refuse_other_directions
from i2i_core.data.datasets.image_folders import DomainFolder, ImageFolders, Table
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.raster import Raster
from i2i_core.errors import UsageError

from .models import untrained

PLUGIN = '''
"""A raster and two numbers become a raster."""
from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.method("method", "shifted")
    registry.network("shift", "shifted:make_shift")
    registry.tensor("same", "shifted:same")


def make_shift(*, source_channels: int, target_channels: int):
    """A convolution of one pixel."""
    from torch import nn

    return nn.Conv2d(source_channels, target_channels, 1)


def x_fake(shift, x_real, height_real):
    return shift(x_real + height_real.mean(1)[:, None, None, None])


def same(shift, x_real):
    """The source."""
    return x_real + 0 * shift(x_real)
'''
RECIPE = """
i2i: 1
steps: 1
method: shifted/method
data:
  use: image_folders
  root: ROOT
  domains: {a: {format: {use: raster, channels: 2, range: [0, 6000]}}}
  fields: {height: {table: heights.csv, key: name, columns: [low, high], format: {use: numbers, range: [-100, 300]}}}
  image_size: 8
  batch_size: 1
  targets: {a: a}
  augment: {crop: 0, flip: 0}
networks: {shift: shifted/shift}
losses: {all: {same: {use: l1, input: x_fake, target: x_real}}}
phases: {all: {train: shift, losses: all}}
hooks: {progress: null, checkpoint: null, metrics: null}
"""


ARRAY = np.random.default_rng(0).integers(0, 6001, (8, 8, 2)).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shifted")
    (root / "a").mkdir()
    (root / "shifted.py").write_text(PLUGIN)
    (root / "recipe.yaml").write_text(RECIPE.replace("ROOT", str(root)))
    (root / "heights.csv").write_text("name,low,high\none,-100,300\n")
    np.save(root / "a" / "one.npy", ARRAY)
    return root


@pytest.fixture(scope="module")
def plugin(folder: Path) -> Path:
    return folder / "shifted.py"


@pytest.fixture(scope="module")
def model(folder: Path, plugin: Path) -> Translator:
    return untrained(str(folder / "recipe.yaml"), files=(plugin,))


def test_rasters_and_numbers_are_encoded_as_in_training(model, folder):
    sources = model.sources([folder / "a" / "one.npy"], inputs={"height": {"low": -100, "high": 300}})
    expected = torch.from_numpy(ARRAY.astype(np.float32).transpose(2, 0, 1))[None] / 3000 - 1
    torch.testing.assert_close(sources.x, expected)
    (style,) = model.styles(None, seeds=[0])
    torch.testing.assert_close(sources.into(style), model.networks["shift"](expected + 0.5).detach())
    same = model.sources(expected, inputs={"height": torch.tensor([[0.0, 1.0]])})
    torch.testing.assert_close(same.into(style), sources.into(style))


# From the training to the file

FORMATS = {
    "labels, classes: 5": np.uint8,
    "labels, classes: 300": np.uint16,
    "raster, channels: 1, range: [0, 255], depth: uint8": np.uint8,
    "raster, channels: 5, range: [0, 10000]": np.uint16,
    "raster, channels: 3, range: [-500, 9000], depth: int16": np.int16,
    "raster, channels: 2, range: [0, 1]": np.float32,
}


@pytest.mark.parametrize("form", FORMATS)
def test_all_values_survive_from_the_training_to_the_file(i2i, tmp_path, monkeypatch, plugin, form):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = re.sub(r"  fields: .*\n", "", RECIPE).replace("raster, channels: 2, range: [0, 6000]", form)
    text = text.replace("image_size: 8", "image_size: [20, 24]").replace("checkpoint: null, ", "")
    Path("recipe.yaml").write_text(text.replace("ROOT", ".") + "tensors: {x_fake: shifted/same}\n")
    Path("a").mkdir()
    rng, kind = np.random.default_rng(0), FORMATS[form]
    if "labels" in form:
        values = rng.permutation(np.arange(20 * 24) % int(form.split()[-1])).reshape(20, 24).astype(kind)
        Image.fromarray(values).save("a/one.png")
    else:
        channels, (low, high) = int(form.split()[2][:-1]), eval(form.partition("range: ")[2].split("]")[0] + "]")
        values = rng.uniform(low, high, size=(20, 24, channels))
        values = (values if kind is np.float32 else values.round()).astype(kind)
        np.save("a/one.npy", values)
    for command in (
        ("train", "--recipe", "recipe.yaml", "--run-dir", "run"),
        ("export", "run", "--to", "model"),
        ("translate", "model", "a", "--out", "out"),
    ):
        answer = i2i(*command, "--plugin", plugin)
        assert answer.code == 0, answer.err
    (made,) = Path("out").iterdir()
    found = np.asarray(Image.open(made)) if made.suffix == ".png" else tifffile.imread(made).reshape(values.shape)
    assert found.dtype == kind
    if kind is np.float32:
        np.testing.assert_allclose(found, values, atol=1e-6)
    else:
        assert (found == values).all()


# What users give


@pytest.fixture
def command(i2i, tmp_path, monkeypatch, plugin):
    """A command that translates with the model of heights, a raster, and its numbers in a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("a").mkdir()
    np.save("a/one.npy", np.zeros((8, 8, 2), np.uint16))
    Path("recipe.yaml").write_text(RECIPE.replace("ROOT", ".").replace("checkpoint: null, ", ""))
    Path("heights.csv").write_text("name,low,high\none,-100,300\n")
    Path("numbers").mkdir()
    Path("numbers/one.json").write_text('{"low": 0, "high": 1}')
    Path("list.json").write_text("[1]")
    answer = i2i("train", "--recipe", "recipe.yaml", "--run-dir", "run", "--plugin", plugin)
    assert answer.code == 0, answer.err
    return ("translate", "run", "a/one.npy", "--plugin", plugin, "--overwrite")


def test_inputs_are_given_once_and_whole(i2i, command):
    for good in ("low=0,high=1", "numbers", "numbers/one.json"):
        answer = i2i(*command, "--input", f"height={good}")
        assert answer.code == 0, answer.err
    one = "height=low=0,high=1"
    for given, code, said in (
        ([one, one], 2, "--input height is given twice; name each input once"),
        (["height="], 2, "--input height= has no value; name a file, a folder or numbers"),
        (["height=low=0,low=1"], 2, "--input height: 'low=0,low=1' should be written as low=NUMBER,high=NUMBER"),
        (["height=" + ",".join(f"n{n}=1" for n in range(90))], 2, "--input height: there is no number n0 (known: "),
        (["height=list.json"], 3, "list.json cannot be used: it should be a mapping from low, high to numbers"),
        (["height=a"], 3, "a has no file one with one of the suffixes .json"),
    ):
        answer = i2i(*command, *(part for value in given for part in ("--input", value)))
        assert (answer.code, answer.err.count("\n")) == (code, 1)
        assert answer.err.startswith(said)


def test_two_inputs_for_one_field_are_refused(i2i, command):
    twice = "uses={a: {inputs: {one: height_real, two: height_real}}}"
    answer = i2i("validate", "recipe.yaml", *command[3:5], "--set", twice)
    assert (answer.code, answer.err) == (
        2,
        f"--set {twice}: the input two of use a stands for height_real, and another one does, too; remove one\n",
    )


def test_a_missing_input_is_known_before_anything_is_written(i2i, command):
    np.save("a/two.npy", np.zeros((8, 8, 2), np.uint16))
    answer = i2i(*command, "a/two.npy", "--input", "height=numbers", "--batch", "1", "--out", "made")
    assert answer.code == 3 and "numbers has no file two with one of" in answer.err
    assert not Path("made").exists()


def test_tensors_of_another_shape_are_refused(model):
    x, height = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2)
    for pictures, inputs, said in (
        (x[:, :1], {"height": height}, r"the tensor has the shape \(1, 1, 8, 8\), and the model needs \(1, 2, 8, 8\)"),
        (torch.cat([x, x]), {"height": height}, r"the tensor has the shape \(1, 2\), and the model needs \(2, 2\)"),
        (x, {"height": {"low": 0, "high": 1}}, "to pictures in a tensor belong further inputs in tensors, not dict"),
        (x, [height], "inputs must be a mapping from names to values, not list"),
    ):
        with pytest.raises(UsageError, match=said):
            model.sources(pictures, inputs=inputs)


def test_the_card_shows_how_to_give_inputs_and_what_results_are(model):
    told = card(model)
    assert "\ni2i translate . source.tif --domain a --input height=low=-100,high=-100\n" in told
    call = 'model("source.tif", domain="a", inputs={"height": {"low": -100.0, "high": -100.0}})  # ndarray'
    assert f"\n{call}\n" in told
    assert "| uses | plain (with height: numbers) |" in told
    assert "| weights | shift 6 |" in told


def test_a_missing_input_is_told_as_the_option_that_gives_it(model):
    with pytest.raises(UsageError) as error:
        read_inputs(model.main_use, [], [])
    assert str(error.value) == "the use plain needs --input height=low=NUMBER,high=NUMBER"


def test_a_data_check_ignores_neither_arrays_nor_tables(folder):
    (folder / "a" / "notes.txt").write_text("read by nothing")
    arrays = DomainFolder(format=Raster(channels=2, range=(0, 6000)))
    heights = Table(
        table=Path("heights.csv"), key="name", columns=("low", "high"), format=Numbers(range=(-100.0, 300.0))
    )
    found = facts_of(ImageFolders(root=folder, domains={"a": arrays}, fields={"height": heights}), "")
    assert [Path(file).name for file in found.ignored] == ["notes.txt", "recipe.yaml", "shifted.py"]


def test_domains_of_two_directions_are_refused():
    model = untrained("munit.yaml", "data.image_size=32")
    with pytest.raises(UsageError) as error:
        refuse_other_directions(model, model.main_use, ["flat", "high_contrast"])
    said = "the use a_to_b translates into flat, and b_to_a into high_contrast; name domains of one use"
    assert str(error.value) == said
    refuse_other_directions(model, model.main_use, ["flat"])
