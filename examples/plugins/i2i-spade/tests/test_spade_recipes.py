"""The recipes with the papers' settings find the files of the papers' data sets as those are distributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_core.data.sets import build_data
from i2i_core.errors import RecipeError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_spade.edges import edges


def written(path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_cityscapes(tmp_path: Path) -> None:
    ids = np.zeros((16, 32), np.uint8)
    ids[:, 8:16], ids[:, 16:], ids[0, 0] = 26, 34, 255  # a car, the last class, and a pixel without a class
    instances = np.where(ids == 26, 26001, ids.astype(np.uint16)).astype(np.uint16)
    instances[:, 12:16] = 26002  # another car
    for split in ("train", "val"):
        for city, frame in (("aachen", "1"), ("bochum", "1"), ("bochum", "2")):
            name = f"{split}/{city}/{city}_{frame}"
            written(tmp_path / f"gtFine/{name}_gtFine_labelIds.png", ids)
            written(tmp_path / f"gtFine/{name}_gtFine_instanceIds.png", instances)
            written(tmp_path / f"gtFine/{name}_gtFine_color.png", np.zeros((16, 32, 4), np.uint8))
            written(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png", np.zeros((16, 32, 3), np.uint8))
    data = build_data(load("spade_cityscapes.yaml", [f"data.root={tmp_path}"], discover()))
    assert [data.train.count(y) for y in (0, 1)] == [data.validation.count(y) for y in (0, 1)] == [3, 3]
    batch = data.train.batch(0, [0], ["x", "instance"])
    assert batch["x"].shape == (1, 35, 256, 512) and batch["x"][0, :, 0, 0].sum() == 0
    assert batch["instance"].unique().tolist() == [0, 34, 255, 26001, 26002]
    between = edges(batch["instance"])[0, 0, 100]
    assert torch.nonzero(between).flatten().tolist() == [127, 128, 191, 192, 255, 256]


def test_ade20k(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        written(
            tmp_path / f"annotations/{split}/ADE_1.png",
            np.array([[0, 150], [1, 2]], np.uint8).repeat(8, 0).repeat(8, 1),
        )
        written(tmp_path / f"images/{split}/ADE_1.jpg", np.zeros((16, 16, 3), np.uint8))
    data = build_data(load("spade_ade20k.yaml", [f"data.root={tmp_path}"], discover()))
    assert data.train.batch(0, [0])["x"].shape == (1, 151, 256, 256)
    assert data.facts["source_channels"] == 151 and data.facts["target_channels"] == 3


def test_a_field_called_like_a_tensor_of_the_method_is_refused() -> None:
    with pytest.raises(RecipeError, match="z_pair is both a tensor of the method and the field z in a batch"):
        load("spade_cityscapes.yaml", ["data.fields.z.format=mask"], discover())
