"""Values of formats that fit them as floats reach the networks as in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from i2i.card import card
from i2i.translator import Translator
from i2i_cli.data import report_on
from i2i_cli.using import read_inputs, refuse_other_directions
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.raster import Raster
from i2i_core.data.image_folders import DomainFolder, ImageFolders, Table
from i2i_core.errors import UsageError

from .models import untrained

PLUGIN = '''
"""A raster and two numbers become a raster."""
from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.method("method", "shifted")
    registry.network("shift", "shifted:make_shift")


def make_shift(*, source_channels: int, target_channels: int):
    """A convolution of one pixel."""
    from torch import nn

    return nn.Conv2d(source_channels, target_channels, 1)


def x_fake(shift, x_real, height_real):
    return shift(x_real + height_real.mean(1)[:, None, None, None])

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
def model(folder: Path) -> Translator:
    return untrained(str(folder / "recipe.yaml"), files=(folder / "shifted.py",))


def test_rasters_and_numbers_are_encoded_as_in_training(model, folder):
    sources = model.sources([folder / "a" / "one.npy"], inputs={"height": {"low": -100, "high": 300}})
    expected = torch.from_numpy(ARRAY.astype(np.float32).transpose(2, 0, 1))[None] / 3000 - 1
    torch.testing.assert_close(sources.x, expected)
    (style,) = model.styles(None, seeds=[0])
    torch.testing.assert_close(sources.into(style), model.networks["shift"](expected + 0.5).detach())
    same = model.sources(expected, inputs={"height": torch.tensor([[0.0, 1.0]])})
    torch.testing.assert_close(same.into(style), sources.into(style))


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
    found = report_on(ImageFolders(root=folder, domains={"a": arrays}, fields={"height": heights}), "")
    assert [Path(file).name for file in found["ignored"]] == ["notes.txt", "recipe.yaml", "shifted.py"]


def test_domains_of_two_directions_are_refused():
    model = untrained("munit.yaml", "data.image_size=32")
    with pytest.raises(UsageError) as error:
        refuse_other_directions(model, model.main_use, ["flat", "high_contrast"])
    said = "the use a_to_b translates into flat, and b_to_a into high_contrast; name domains of one use"
    assert str(error.value) == said
    refuse_other_directions(model, model.main_use, ["flat"])
