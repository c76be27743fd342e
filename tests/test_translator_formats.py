"""Values of formats that fit them as floats reach the networks as in training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

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


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "shifted.py"
    file.write_text(PLUGIN)
    return file


def test_rasters_and_numbers_are_encoded_as_in_training(tmp_path, plugin):
    (tmp_path / "a").mkdir()
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("ROOT", str(tmp_path)))
    (tmp_path / "heights.csv").write_text("name,low,high\none,-100,300\n")
    array = np.random.default_rng(0).integers(0, 6001, (8, 8, 2)).astype(np.uint16)
    np.save(tmp_path / "a" / "one.npy", array)
    model = untrained(str(tmp_path / "recipe.yaml"), files=(plugin,))
    sources = model.sources([tmp_path / "a" / "one.npy"], inputs={"height": {"low": -100, "high": 300}})
    expected = torch.from_numpy(array.astype(np.float32).transpose(2, 0, 1))[None] / 3000 - 1
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
def model(i2i, tmp_path, monkeypatch, plugin):
    """The model of heights, untrained, and a raster with its numbers in a file."""
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


def test_inputs_are_given_once_and_whole(i2i, model):
    for good in ("low=0,high=1", "numbers", "numbers/one.json"):
        answer = i2i(*model, "--input", f"height={good}")
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
        answer = i2i(*model, *(part for value in given for part in ("--input", value)))
        assert (answer.code, answer.err.count("\n")) == (code, 1)
        assert answer.err.startswith(said)


def test_two_inputs_for_one_field_are_refused(i2i, model):
    twice = "uses={a: {inputs: {one: height_real, two: height_real}}}"
    answer = i2i("validate", "recipe.yaml", *model[3:5], "--set", twice)
    assert (answer.code, answer.err) == (
        2,
        f"--set {twice}: the input two of use a stands for height_real, and another one does, too; remove one\n",
    )


def test_a_missing_input_is_known_before_anything_is_written(i2i, model):
    np.save("a/two.npy", np.zeros((8, 8, 2), np.uint16))
    answer = i2i(*model, "a/two.npy", "--input", "height=numbers", "--batch", "1", "--out", "made")
    assert answer.code == 3 and "numbers has no file two with one of" in answer.err
    assert not Path("made").exists()


def test_tensors_of_another_shape_are_refused(tmp_path, plugin):
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "one.npy", np.zeros((8, 8, 2), np.uint16))
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("ROOT", str(tmp_path)))
    (tmp_path / "heights.csv").write_text("name,low,high\none,-100,300\n")
    model = untrained(str(tmp_path / "recipe.yaml"), files=(plugin,))
    x, height = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2)
    for pictures, inputs, said in (
        (x[:, :1], {"height": height}, r"the tensor has the shape \(1, 1, 8, 8\), and the model needs \(1, 2, 8, 8\)"),
        (torch.cat([x, x]), {"height": height}, r"the tensor has the shape \(1, 2\), and the model needs \(2, 2\)"),
        (x, {"height": {"low": 0, "high": 1}}, "to pictures in a tensor belong further inputs in tensors, not dict"),
        (x, [height], "inputs must be a mapping from names to values, not list"),
    ):
        with pytest.raises(UsageError, match=said):
            model.sources(pictures, inputs=inputs)
