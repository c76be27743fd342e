"""Real pictures, and files of models run as by programs that know nothing of i2i."""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from i2i_core.data.formats.picture import Picture
from i2i_emoji.drawings import Drawings
from tests.runs import TINY

SIZE = 16
SMALL = (*TINY, f"data.image_size={SIZE}")
EMOJI = "data={use: emoji/drawings, image_size: 16, batch_size: 2, targets: {flat: high_contrast}}"
CYCLEGAN = ("cyclegan.yaml", EMOJI, "networks.G={use: classics/resnet, width: 4, blocks: 2}")
PLAIN = ("networks.generator.skip=null", "tensors.masks=null", "tensors.fake_masks=null")


def emoji(count: int, size: int = SIZE) -> Tensor:
    """Held-out drawings, (N, 3, size, size) in [-1, 1]."""
    drawings = Drawings(split="val")
    return (
        torch.stack([Picture().fit(drawings.picture(0, 10 * n), (size, size)) for n in range(count)]).float() / 127.5
        - 1
    )


def translated(folder: Path, use: str, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the files of a folder make one after the other, as their model.json says."""
    about = json.loads((folder / "model.json").read_text())
    for file in about["uses"][use]["order"]:
        taken = {name: arrays[name] for name in about["files"][file]["takes"]}
        arrays = arrays | run_file(folder / file, taken)
        assert {name: (["batch", *arrays[name].shape[1:]], str(arrays[name].dtype)) for name in taken} == {
            name: (said["shape"], f"torch.{said['type']}") for name, said in about["files"][file]["takes"].items()
        }
    return arrays


def run_file(path: Path, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    if path.suffix == ".pt2":
        made: dict[str, Tensor] = torch.export.load(path).module()(arrays)
        return made
    session = onnxruntime.InferenceSession(path)
    assert {axis for i in (*session.get_inputs(), *session.get_outputs()) for axis in i.shape[:1]} == {"batch"}
    found = session.run(None, {name: array.numpy() for name, array in arrays.items()})
    return {o.name: torch.from_numpy(array) for o, array in zip(session.get_outputs(), found, strict=True)}
