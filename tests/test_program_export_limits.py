"""What export refuses, and the norms that it writes out because other programs lose digits in theirs."""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn

from i2i.onnx_norms import NORMS
from i2i.program_export import export, write
from i2i.program_parts import parts
from i2i_core.errors import PluginError, UsageError
from tests.exported import CYCLEGAN, SMALL, emoji, translated
from tests.models import untrained

TWO_WAYS = """
from torch import nn
from i2i_core import hookimpl

@hookimpl
def i2i_components(registry):
    registry.method("method", "two_ways")
    registry.network("paint", "two_ways:Paint")

class Paint(nn.Conv2d):
    def __init__(self): super().__init__(3, 3, 3, padding=1)

def style(normal): return normal(3)
def seen(x_ref): return x_ref.mean((2, 3))
def x_fake(paint, x_real, style): return paint(x_real) + style[:, :, None, None]
"""
TWO_WAYS_RECIPE = """
i2i: 1
steps: 1
method: two_ways/method
data: {use: emoji/drawings, image_size: 16, batch_size: 2}
networks: {paint: {use: two_ways/paint}}
losses: {all: {same: {use: l1, input: x_fake, target: x_real}}}
phases:
  latent: {train: [paint], losses: all}
  reference: {train: [paint], losses: all, where: {style: seen}}
hooks: {}
"""


def test_guides_that_enter_at_different_places_have_translations_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "two_ways.py").write_text(TWO_WAYS)
    (tmp_path / "two_ways.yaml").write_text(TWO_WAYS_RECIPE)
    model = untrained(str(tmp_path / "two_ways.yaml"), files=(tmp_path / "two_ways.py",))
    write(model, tmp_path / "files", "torch-export")
    found = {guide: [part.file for part in order] for guide, order in parts(model).items()}
    assert found == {"latent": ["x_fake"], "reference": ["seen", "x_fake-reference"]}
    style, x_ref, painted = torch.randn(3, 3), emoji(3), model.networks["paint"](emoji(3))
    for guide, given, s in (("latent", {"style": style}, style), ("reference", {"x_ref": x_ref}, x_ref.mean((2, 3)))):
        made = translated(tmp_path / "files", guide, {"x_real": emoji(3), **given})
        torch.testing.assert_close(made["x_fake"], painted + s[:, :, None, None])
    del sys.modules["two_ways"]


# What cannot leave.

ODD = """
from dataclasses import dataclass
import torch
from i2i_core import hookimpl

@hookimpl
def i2i_components(registry):
    registry.tensor("held", "odd_masks:held")
    registry.tensor("counted", "odd_masks:counted")
    registry.tensor("by_value", "odd_masks:by_value")
    registry.tensor("by_chance", "odd_masks:by_chance")

@dataclass
class Held:
    mask: object

def held(of): return Held(of)
def counted(of): return 2 * (of.new_ones(len(of), 1, 8, 8),)
def by_chance(of): return 2 * (torch.rand_like(of[:, :1]),)
def by_value(of):
    mask = of[:, :1] if of.mean() > 0 else 1 - of[:, :1]
    return mask, mask
"""


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (
            "held",
            "the tensor masks cannot be exported: it contains a Held, and only tensors, numbers, strings, and tuples, "
            "lists and dicts of these can be exported",
        ),
        (
            "counted",
            "the tensor masks cannot be exported: its code makes the batch size a constant; write x.shape[0] "
            "instead of len(x)",
        ),
        ("by_value", "the tensor masks cannot be exported: its control flow depends on the values of tensors"),
        (
            "by_chance",
            "the tensor masks cannot be exported: its file computes masks.0 with a mean error of 0.3. for a batch of 1",
        ),
    ],
)
def test_a_tensor_that_cannot_be_exported_is_named(tensor: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "odd_masks.py").write_text(ODD)
    model = untrained(
        "stargan_v2.yaml",
        *SMALL,
        f"tensors.masks={{use: odd_masks/{tensor}, of: x_real}}",
        files=(tmp_path / "odd_masks.py",),
    )
    with pytest.raises(PluginError) as error:
        for part in parts(model)["latent"]:
            if part.file == "masks":
                export(part, "torch-export")
    assert re.sub(r"0\.3\d", "0.3.", str(error.value)) == sentence
    del sys.modules["odd_masks"]


def test_what_is_there_is_only_replaced_if_told(tmp_path: Path) -> None:
    model, folder = untrained(*CYCLEGAN), tmp_path / "files"
    write(model, folder, "torch-export")
    with pytest.raises(UsageError) as error:
        write(model, folder, "torch-export")
    assert str(error.value) == (
        f"{folder} already holds a model in parts; choose another folder with --to, or allow it with --overwrite"
    )
    (folder / "model.json").rename(folder / "mine.json")
    with pytest.raises(UsageError) as error:
        write(model, folder, "torch-export", overwrite=True)
    assert str(error.value) == f"{folder} exists and holds no model in parts; choose another folder with --to"
    (folder / "mine.json").rename(folder / "model.json")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError) as error:
        write(model, folder, "torch-export", overwrite=True)
    assert str(error.value) == (
        f"{folder} holds notes.txt besides a model in parts; take it out, or choose another folder with --to"
    )
    (folder / "notes.txt").unlink()
    write(model, folder, "torch-export", overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "x_fake.pt2"]


def test_onnx_needs_an_extra_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError) as error:
        write(untrained(*CYCLEGAN), tmp_path / "new", "onnx")
    assert str(error.value) == 'ONNX needs onnxscript: pip install "i2i-gan[export]"'
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "norm",
    [
        nn.InstanceNorm2d(3),
        nn.InstanceNorm2d(3, affine=True),
        nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
        nn.BatchNorm2d(3, track_running_stats=False),
    ],
    ids=str,
)
def test_norms_of_white_backgrounds_are_exact_elsewhere(norm: nn.Module) -> None:
    """onnxruntime's own are off by 2e-4 to 2e-3."""
    x = emoji(2, 256)
    for parameter in norm.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    norm(x.flip(0) * 0.9)  # statistics that are not those of x
    norm.eval()
    program = torch.onnx.export(
        torch.export.export(norm, (x,)), dynamo=True, custom_translation_table=NORMS, verbose=False
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (made,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = copy.deepcopy(norm).double()(x.double())
    assert (torch.from_numpy(made) - expected).abs().max() < 2e-5
