"""A loss or a gradient that is no number stops the run before the step that would ruin the networks."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from i2i_core.disk import checkpoints
from i2i_core.errors import Diverged, PluginError, RecipeError
from i2i_core.training import launch
from i2i_core.training.run import Run

from .runs import NO_GRIDS, run_forked, status, train

SPOILT = "losses.generator.spoilt={use: trouble/spoilt, at: 5, %s}"  # two calls a step: g_latent of step 3
SAVED_EACH_STEP = "hooks.checkpoint.every=1"


def finite(folder: Path, step: int) -> bool:
    """Whether the newest checkpoint is of `step` and holds numbers only."""
    found = checkpoints.newest(folder / "checkpoints", pytest.fail)
    assert found is not None
    return found.step == step and all(t.isfinite().all() for part in found.parts().values() for t in part.values())


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("gradient: false", "loss spoilt is nan"),
        ("gradient: true", "the gradient of generator and mapping_network and style_encoder is not finite"),
    ],
)
def test_a_run_that_diverges_stops_before_the_step_and_keeps_what_was_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    runs: list[Run] = []
    monkeypatch.setattr(launch, "Run", lambda *given: runs.append(Run(*given)) or runs[0])
    folder = tmp_path / "run"
    with pytest.raises(Diverged) as stopped:
        train(folder, SPOILT % what, SAVED_EACH_STEP, *NO_GRIDS)
    assert stopped.value.exit_code == 6
    assert str(stopped.value) == (
        f"{said} in phase g_latent of step 3. Resume from the last checkpoint with a lower learning rate "
        f"(--set optimizers.default.lr=...) or another seed (--set seed=1)"
    )
    (run,) = runs
    assert all(p.isfinite().all() for network in run.networks.values() for p in network.parameters())
    assert run.step == 2
    assert finite(folder, step=2)
    assert {k: status(folder)[k] for k in ("status", "step", "exit_code")} == {
        "status": "failed",
        "step": 2,
        "exit_code": 6,
    }
    assert status(folder)["message"] == str(stopped.value)


def test_a_hook_that_changes_weights_in_the_middle_of_an_iteration_is_told(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as error:
        train(
            tmp_path / "run",
            "hooks.noise={use: trouble/noise_weights, network: generator, phase: d_reference}",
            "steps=1",
            *NO_GRIDS,
        )
    assert str(error.value).startswith("phase g_latent cannot be differentiated: a hook or a component has changed ")
    assert str(error.value).endswith("change weights in after_step, when an iteration is done")


@pytest.mark.parametrize("what", ["gradient: false", "gradient: true"])
def test_what_a_device_answers_late_is_heard_before_anything_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As on a GPU, where the step is made before it is known that it ruins the networks."""

    def answering_late(*given: Any) -> Run:
        runs.append(Run(*given))
        runs[0].finite_check.at_once = False
        return runs[0]

    runs: list[Run] = []
    monkeypatch.setattr(launch, "Run", answering_late)
    folder = tmp_path / "run"
    with pytest.raises(Diverged) as stopped:
        train(folder, SPOILT % what, SAVED_EACH_STEP, *NO_GRIDS)
    assert "in phase g_latent of step 3. Resume" in str(stopped.value)
    assert runs[0].step == 3
    assert finite(folder, step=2)
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())][-1] == "step-00000002"


@pytest.mark.parametrize("what", ["gradient: false, rank: 1", "gradient: true, rank: 1"])
def test_both_processes_stop_when_one_of_them_diverges(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run"
    ended = run_forked(folder, SPOILT % what, SAVED_EACH_STEP, *NO_GRIDS, world=2)
    assert ended.codes == [6, 6], ended.printed
    for printed in ended.printed:
        assert "in phase g_latent of step 3. Resume" in printed
    assert finite(folder, step=2)
    assert status(folder)["exit_code"] == 6


def test_data_workers_do_not_hold_up_a_run_that_diverged(tmp_path: Path) -> None:
    started = time.monotonic()
    ended = run_forked(tmp_path / "run", SPOILT % "gradient: false", "data.workers=2", *NO_GRIDS)
    assert ended.codes == [6], ended.printed
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("losses.generator.bad={use: trouble/raises, weight: 0}", "in the loss bad of phase g_latent"),
        ("losses.generator.bad={use: trouble/factory, weight: 0}", "in loss trouble/factory"),
        ("tensors.masks={use: trouble/raises}", "in the tensor masks"),
    ],
)
def test_an_unexpected_error_says_in_which_component_it_happened(tmp_path: Path, change: str, where: str) -> None:
    with pytest.raises(KeyError, match="inside") as error:
        train(tmp_path / "run", change, *NO_GRIDS)
    assert error.value.__notes__ == [where, f"the traceback is in {tmp_path / 'run' / 'logs' / 'traceback-0.txt'}"]


def test_a_key_that_does_not_fit_what_a_component_reads_is_told_with_its_place(tmp_path: Path) -> None:
    choosy = "losses.generator.choosy={use: trouble/choosy, channel: 3}"
    with pytest.raises(RecipeError) as error:
        train(tmp_path / "run", choosy, *NO_GRIDS)
    assert str(error.value) == f"--set {choosy}: in the loss choosy of phase g_latent: channel 3 of 3"
    assert status(tmp_path / "run")["exit_code"] == 2


def test_a_network_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as error:
        train(tmp_path / "run", "networks.discriminator=trouble/no_network", *NO_GRIDS)
    assert str(error.value) == (
        "--set networks.discriminator=trouble/no_network: network trouble/no_network returns "
        "an object of type int, which is not an nn.Module; update or repair plugin trouble"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "networks.generator={use: classics/unet, levels: 4}",
            "in the tensor content: the network generator does not fit: 'UNet' object has no attribute 'encode'",
        ),
        (
            "networks.discriminator={use: classics/patchgan, levels: 1}",
            "in the tensor real_logits: the network discriminator does not fit: PatchGAN.forward() takes 2 positional "
            "arguments but 3 were given",
        ),
    ],
)
def test_a_network_that_does_not_fit_its_method_is_told(tmp_path: Path, change: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        train(
            tmp_path / "run",
            change,
            "networks.generator.skip=null" if "unet" not in change else "hooks.ema=null",
            "tensors.masks=null",
            "tensors.fake_masks=null",
            *NO_GRIDS,
        )
    assert str(error.value).endswith(said)
    assert re.match(r"\S+stargan_v2.yaml:\d+:\d+: ", str(error.value))


def test_a_loss_that_gives_no_single_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as error:
        train(tmp_path / "run", "losses.discriminator.bad=trouble/map", *NO_GRIDS)
    assert str(error.value) == (
        "the loss bad of phase d_latent should return a scalar tensor; it returned a value of shape [4]"
    )
