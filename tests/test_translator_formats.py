"""Values of formats that fit them as floats reach the networks as in training."""

from __future__ import annotations

import numpy as np
import torch

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


def test_rasters_and_numbers_are_encoded_as_in_training(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "shifted.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("ROOT", str(tmp_path)))
    (tmp_path / "heights.csv").write_text("name,low,high\none,-100,300\n")
    array = np.random.default_rng(0).integers(0, 6001, (8, 8, 2)).astype(np.uint16)
    np.save(tmp_path / "a" / "one.npy", array)
    model = untrained(str(tmp_path / "recipe.yaml"), files=(tmp_path / "shifted.py",))
    sources = model.sources([tmp_path / "a" / "one.npy"], inputs={"height": {"low": -100, "high": 300}})
    expected = torch.from_numpy(array.astype(np.float32).transpose(2, 0, 1))[None] / 3000 - 1
    torch.testing.assert_close(sources.x, expected)
    (style,) = model.styles(None, seeds=[0])
    torch.testing.assert_close(sources.into(style), model.networks["shift"](expected + 0.5).detach())
    same = model.sources(expected, inputs={"height": torch.tensor([[0.0, 1.0]])})
    torch.testing.assert_close(same.into(style), sources.into(style))
