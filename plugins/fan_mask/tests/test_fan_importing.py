"""FAN's weights come over from other people's files, with one hourglass or several."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from i2i_core.errors import I2IError
from i2i_fan_mask.components import Heatmaps
from i2i_fan_mask.fan import FAN, LANDMARKS, CoordConv
from i2i_fan_mask.importing import fan as command
from i2i_fan_mask.weights import load


@pytest.fixture(scope="module")
def state(weights):
    """As in wing.ckpt: float32."""
    return {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}


@pytest.fixture(scope="module")
def stacked(state):
    """Weights of four hourglasses, of which the first is `state`'s."""
    torch.manual_seed(0)
    return {**FAN(stacks=4).state_dict(), **state}


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def error(*arguments: Any) -> str:
    answer = call(*arguments)
    assert isinstance(answer.exception, I2IError)
    return str(answer.exception)


def test_a_wing_ckpt_becomes_safetensors_with_the_same_masks(state, x_real, tmp_path):
    content = {
        "state_dict": {f"module.{name}": t for name, t in state.items()},
        "epoch": 3,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}},
    }
    torch.save(content, tmp_path / "wing.ckpt", _use_new_zipfile_serialization=False)
    answer = call(tmp_path / "wing.ckpt", "--to", tmp_path / "weights" / "wing.safetensors")
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, f"{tmp_path / 'weights' / 'wing.safetensors'}\n", "")
    found = load_file(tmp_path / "weights" / "wing.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    picture = x_real("celeba64", 1, 64).float()
    ours, theirs = (
        Heatmaps(weights=path)(picture) for path in (tmp_path / "weights" / "wing.safetensors", tmp_path / "wing.ckpt")
    )
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_of_four_hourglasses_the_first_is_kept_unless_told_otherwise(state, stacked, tmp_path):
    save_file(stacked, tmp_path / "WFLW_4HG.safetensors")
    answer = call(tmp_path / "WFLW_4HG.safetensors", "--to", tmp_path / "one.safetensors")
    assert answer.stderr == "kept 1 of 4 hourglasses; --stacks 4 keeps all\n"
    assert load_file(tmp_path / "one.safetensors").keys() == state.keys()
    answer = call(tmp_path / "WFLW_4HG.safetensors", "--to", tmp_path / "four.safetensors", "--stacks", 4)
    assert answer.stderr == ""
    assert load_file(tmp_path / "four.safetensors").keys() == stacked.keys()
    assert Heatmaps(weights=tmp_path / "four.safetensors", stacks=4).fan.stacks == 4


def test_files_that_do_not_fit_are_said(state, tmp_path):
    save_file(state, tmp_path / "wing.safetensors")
    (tmp_path / "there.safetensors").write_text("mine")
    assert error(tmp_path / "wing.safetensors", "--to", tmp_path / "new.safetensors", "--stacks", 4) == (
        f"{tmp_path / 'wing.safetensors'} contains 1 of FAN's hourglasses; --stacks can be 1 at most"
    )
    assert error(tmp_path / "wing.safetensors", "--to", tmp_path / "there.safetensors") == (
        f"{tmp_path / 'there.safetensors'} would be overwritten; choose another place, or allow it with --overwrite"
    )
    assert (tmp_path / "there.safetensors").read_text() == "mine"
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert error(tmp_path / "other.safetensors", "--to", tmp_path / "new.safetensors") == (
        f"{tmp_path / 'other.safetensors'} lacks 336 of FAN's 336 tensors, first conv1.conv.weight"
    )
    assert error(tmp_path / "wing.safetensors", "--to", tmp_path / "new.pt") == (
        f"{tmp_path / 'new.pt'} will be a safetensors file; give --to a name that ends in .safetensors"
    )
    assert not (tmp_path / "new.safetensors").exists() and not (tmp_path / "new.pt").exists()


class Payload:
    """Touches a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.marker}'",)


def test_a_malicious_wing_ckpt_is_refused_and_runs_nothing(state, tmp_path):
    torch.save({"state_dict": {**state, "more": Payload(tmp_path / "ran")}}, tmp_path / "wing.ckpt")
    assert error(tmp_path / "wing.ckpt", "--to", tmp_path / "new.safetensors") == (
        f"{tmp_path / 'wing.ckpt'} is refused: its pickle asks for posix.system, which could run code; only tensors "
        f"are loaded"
    )
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "wing.ckpt", weights_only=False)
    assert (tmp_path / "ran").exists(), "the payload is no real one"


# Several hourglasses


def test_tensors_between_hourglasses_have_the_published_shapes(stacked):
    assert stacked["al0.weight"].shape == (256, 99, 1, 1)
    assert stacked["bl2.weight"].shape == (256, 256, 1, 1)
    assert stacked["m0.coordconv.conv.weight"].shape == (256, 259, 1, 1)
    assert {stacked[f"m{n}.coordconv.conv.weight"].shape for n in (1, 2, 3)} == {(256, 261, 1, 1)}
    assert {"al3.weight", "bl3.weight", "m4.b2_plus_1.bn1.weight"}.isdisjoint(stacked)
    assert {"top_m_3.conv1.weight", "conv_last3.weight", "bn_end3.running_var", "l3.bias"} <= stacked.keys()


def test_later_hourglasses_see_row_and_column_where_the_boundary_is():
    convolution = CoordConv(1, 5, kernel=1, size=3, boundary=True)
    with torch.no_grad():  # gives what is appended
        convolution.conv.weight.copy_(torch.eye(6)[1:, :, None, None])
        convolution.conv.bias.zero_()
    boundary = torch.tensor([[0.0, 0.05, 1.0], [0.06, -1.0, 0.0], [2.0, 0.0, 0.0]])[None, None]
    row, column, _, row_there, column_there = convolution(torch.zeros(1, 1, 3, 3), boundary)[0].detach()
    assert row[:, 0].tolist() == [-1, 0, 1]
    there = torch.tensor([[0, 0, 1], [1, 0, 0], [1, 0, 0]])
    assert torch.equal(row_there, row * there)
    assert torch.equal(column_there, column * there)


@pytest.fixture(scope="module")
def picture(x_real):
    return x_real("celeba64", 1, 64).float()


def twice(state, **changed):
    """Two equal hourglasses, the second of which gets the same features and heeds no boundary."""
    second = {
        name.replace("0.", "1.", 1): tensor
        for name, tensor in state.items()
        if name.startswith(("m0.", "top_m_0.", "conv_last0.", "bn_end0.", "l0."))
    }
    coordinates = second["m1.coordconv.conv.weight"]
    second["m1.coordconv.conv.weight"] = torch.cat([coordinates, torch.zeros(256, 2, 1, 1)], dim=1)
    between = {
        "al0.weight": torch.zeros(256, 99, 1, 1),
        "al0.bias": torch.zeros(256),
        "bl0.weight": torch.zeros(256, 256, 1, 1),
        "bl0.bias": torch.zeros(256),
    }
    fan = FAN(stacks=2)
    fan.load_state_dict({**state, **second, **between, **changed})
    return fan.eval().requires_grad_(False)


def test_an_equal_second_hourglass_gives_close_maps(state, picture, tmp_path):
    save_file(state, tmp_path / "wing.safetensors")
    once = load(FAN(), tmp_path / "wing.safetensors").eval()(picture)
    # The second hourglass's first convolution has two more channels, so its sums are rounded in another order.
    assert (twice(state)(picture) - once).abs().max() < 1e-5 * once.abs().max()


@pytest.mark.parametrize("name", ["al0.weight", "bl0.weight", "l1.bias", "m1.coordconv.conv.weight"])
def test_the_last_hourglass_sees_features_maps_and_boundary_of_the_one_before(name, state, picture):
    # Formula-filled maps are near -130: raise the boundary's, so that there is one.
    raised = {**state, "l0.bias": state["l0.bias"] + torch.where(torch.arange(LANDMARKS + 1) == LANDMARKS, 130.0, 0.0)}
    fan = twice(raised)
    before = fan(picture)
    changed = fan.state_dict()[name]
    if name.startswith("m1"):
        changed[:, -2:] += 0.1
    else:
        changed += 0.01
    assert not torch.allclose(fan(picture), before)
