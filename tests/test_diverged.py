"""A loss or a gradient that is no number stops the run before the step that would ruin the networks."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i_core.disk import checkpoints
from i2i_core.errors import Diverged, PluginError, RecipeError, UsageError
from i2i_core.training import launch
from i2i_core.training.run import Run
from i2i_core.training.weights_check import largest_weight

from .runs import NO_GRIDS, logged, run_forked, status, train

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
        f"{said} in phase g_latent of step 3. Resume from step 2 with a lower learning rate "
        f"(--set optimizers.default.lr=...) or another seed (--set seed=1); if that diverges too, from an earlier "
        f"step: --resume-from 1"
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


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    """No loss shows what the last step of a run has done to the weights."""
    folder = tmp_path / "run"
    with pytest.raises(Diverged) as stopped:
        train(folder, "optimizers.mapping_network={lr: 1e39}", "steps=1", *NO_GRIDS)
    assert re.match(
        r"\d+ tensors of mapping_network not finite after step 1, which is not saved\. Start again with a lower ",
        str(stopped.value),
    )
    assert not checkpoints.committed(folder / "checkpoints")
    assert status(folder)["exit_code"] == 6


def test_a_mask_may_hold_infinity_and_no_buffer_nan() -> None:
    network = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(network.weight, -3.0)
    network.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    network.register_buffer("count", torch.tensor(7))
    network.register_buffer("nothing", torch.empty(0))
    assert largest_weight([("one", network), ("the same", network)], step=2) == 3
    network.register_buffer("mean", torch.tensor([float("nan")]))
    with pytest.raises(Diverged, match="1 tensor of one not finite after step 2"):
        largest_weight([("one", network)], step=2)


def test_what_was_good_before_weights_exploded_is_kept_and_can_be_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    keep_one = "hooks.checkpoint={use: checkpoint, every: 1, keep: 1}"
    good = train(tmp_path / "good", "steps=5", *NO_GRIDS)
    train(folder, "steps=3", keep_one, *NO_GRIDS)
    said: list[str] = []
    with pytest.raises(Diverged, match="Resume from step 4 with .* an earlier step: --resume-from 3$"):
        train(folder, "steps=9", "optimizers.mapping_network={lr: 1e9}", resume=True, warn=said.append)
    assert any(re.match(r"weights have grown to \de\+\d\d at step 4: the run diverges", line) for line in said)
    assert checkpoints.steps(folder / "checkpoints") == [3, 4]
    with pytest.raises(UsageError, match=f"no checkpoint of step 2 in {folder}/checkpoints; there are 3, 4$"):
        train(folder, resume=True, resume_from=2)
    lower = ("optimizers.mapping_network.lr=1e-4", "steps=5")
    run = train(folder, *lower, resume=True, resume_from=3, warn=said.append)
    assert run.step == 5
    assert said[-1] == f"later checkpoints are now in {folder}/aside: step-00000004"
    assert checkpoints.steps(folder / "checkpoints") == [5]
    assert checkpoints.steps(folder / "aside") == [4]
    assert [line["step"] for line in logged(folder)] == [1, 2, 3, 4, 5]
    for ours, theirs in zip(run.networks.values(), good.networks.values(), strict=True):
        assert all(p.equal(q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_checkpoint_before_the_newest_goes_once_a_step_was_made_from_that(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    keep_one = "hooks.checkpoint={use: checkpoint, every: 1, keep: 1}"
    with pytest.raises(Diverged, match="Resume from step 2 with .* an earlier step: --resume-from 1$"):
        train(folder, SPOILT % "gradient: false", keep_one, *NO_GRIDS)
    assert checkpoints.steps(folder / "checkpoints") == [1, 2]


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
