"""Weights load in every form that users have, and every bad file is one sentence; no file runs code."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from i2i_fan_mask.fan import FAN
from i2i_fan_mask.weights import load


@pytest.fixture(scope="module")
def state(weights):
    """As in wing.ckpt: float32."""
    return {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}


def write(path: Path, content: object, form: str) -> Path:
    if form == "safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path


def error(path: Path) -> str:
    """The error's sentence, with the path as FILE."""
    with pytest.raises(ValueError) as caught:
        load(FAN(), path)
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("form", "wrap"),
    [
        ("pickles", lambda state: {"state_dict": state, "epoch": 3}),
        ("zip", lambda state: {"state_dict": {**state, "m1.more": torch.zeros(2)}, "best": 0.1}),
        ("zip", lambda state: state),
        ("zip", lambda state: {f"module.{name}": tensor for name, tensor in state.items()}),
        ("safetensors", lambda state: state),
    ],
    ids=["wing.ckpt", "more keys", "bare", "module.", "safetensors"],
)
def test_every_form_of_the_weights_loads(form, wrap, state, tmp_path):
    fan = load(FAN(), write(tmp_path / "wing", wrap(state), form))
    assert all(torch.equal(tensor, state[name]) for name, tensor in fan.state_dict().items())


def test_a_missing_file(tmp_path):
    expected = "cannot read FAN's weights FILE: {}; the README of i2i-gan-fan-mask names the file to download"
    assert error(tmp_path / "wing.ckpt") == expected.format("No such file or directory")
    assert error(tmp_path) == expected.format("Is a directory")


@pytest.mark.parametrize("content", [b"", b"P", b"<html>Not found</html>", b"\xff\xd8" + bytes(99)])
def test_a_file_that_is_no_checkpoint(content, tmp_path):
    (tmp_path / "wing.ckpt").write_bytes(content)
    expected = "FILE is not a checkpoint: neither .safetensors nor written by torch.save"
    assert error(tmp_path / "wing.ckpt") == expected


@pytest.mark.parametrize("form", ["pickles", "zip", "safetensors"])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_a_file_cut_short(form, kept, tmp_path):
    path = write(tmp_path / "wing", {f"tensor{i}": torch.zeros(1000) for i in range(20)}, form)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert error(path) == "FILE is cut short or damaged; fetch it again"


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "wing.ckpt", "w") as archive:
        archive.writestr("notes/readme.txt", "hello")
    assert error(tmp_path / "wing.ckpt") == "FILE is cut short or damaged; fetch it again"


class Payload:
    """Opens a file for writing when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("form", ["pickles", "zip", "bare 2", "bare 4"])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(form, tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "wing.ckpt"
    content = {"state_dict": Payload(marker)}
    if form.startswith("bare"):
        path.write_bytes(pickle.dumps(content, protocol=int(form[-1])))
    else:
        write(path, content, form)
    asked = "more than tensors" if form == "bare 4" else "io.open"
    assert error(path) == (
        f"FILE is refused: its pickle asks for {asked}, which could run code; only tensors are loaded"
    )
    assert not marker.exists()
    pickle.load(io.BytesIO(pickle.dumps(Payload(marker)))).close()
    assert marker.exists()  # so the payload is a real one


def test_tensors_that_are_missing(state, tmp_path):
    fewer = {name: tensor for name, tensor in state.items() if not name.startswith(("bn1.", "l0."))}
    path = write(tmp_path / "wing.ckpt", {"state_dict": fewer}, "zip")
    assert error(path) == "FILE lacks 7 of FAN's 336 tensors, first bn1.weight"


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": 3}, {"l0.bias": "text"}, torch.zeros(3)])
def test_checkpoints_of_something_else_lack_everything(content, tmp_path):
    path = write(tmp_path / "wing.ckpt", content, "zip")
    assert error(path) == "FILE lacks 336 of FAN's 336 tensors, first conv1.conv.weight"


def test_a_tensor_of_another_shape(state, tmp_path):
    path = write(tmp_path / "wing.safetensors", {**state, "l0.bias": torch.zeros(69)}, "safetensors")
    assert error(path) == "l0.bias has the shape [69] in FILE, but [99] in FAN"
