"""Two processes are one: the same numbers on the same global batch, and the same manners when told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from i2i_core.disk import checkpoints
from i2i_core.errors import RecipeError
from i2i_core.plan.draws import Draws
from i2i_core.training import run_folder

from .runs import (
    NO_GRIDS,
    SGD,
    TROUBLE,
    arguments,
    largest_difference,
    logged,
    needs_bf16,
    run_forked,
    status,
    tensors,
    torchrun,
    train,
    wait_for,
)

FOUR = ("steps=4", *NO_GRIDS)


def environment(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "env.json").read_text())
    return found


def losses_differ_by(ours: Path, theirs: Path) -> float:
    a, b = logged(ours), logged(theirs)
    assert len(a) == len(b) == 4
    assert [line.keys() for line in a] == [line.keys() for line in b]
    return max(abs(x[name] - y[name]) for x, y in zip(a, b, strict=True) for name in x)


def test_two_processes_train_what_one_trains_adam_in_float64(tmp_path: Path) -> None:
    train(tmp_path / "one", "precision=fp64", *FOUR)
    assert run_forked(tmp_path / "two", "precision=fp64", *FOUR, world=2).codes == [0, 0]
    assert (environment(tmp_path / "one")["world_size"], environment(tmp_path / "two")["world_size"]) == (1, 2)
    assert largest_difference(tmp_path / "one", tmp_path / "two", ("networks", "hooks", "optimizers")) < 1e-6
    assert losses_differ_by(tmp_path / "one", tmp_path / "two") < 1e-6
    assert all(line["d_latent/r1"] > 0 for line in logged(tmp_path / "two"))


def test_two_processes_train_what_one_trains_sgd_in_float32(tmp_path: Path) -> None:
    start = train(tmp_path / "start", "steps=1", *SGD, *NO_GRIDS)
    train(tmp_path / "one", *SGD, *FOUR)
    assert run_forked(tmp_path / "two", *SGD, *FOUR, world=2).codes == [0, 0]
    assert environment(tmp_path / "two")["world_size"] == 2
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6
    assert losses_differ_by(tmp_path / "one", tmp_path / "two") < 1e-5
    assert start.step == 1
    assert largest_difference(tmp_path / "one", tmp_path / "start") > 1e-5, "they agree because nothing moved"


def test_two_processes_train_what_one_trains_under_masks_that_differ_from_picture_to_picture(tmp_path: Path) -> None:
    masks = ("tensors.masks={use: trouble/bright, of: x_real}", "tensors.fake_masks={use: trouble/bright, of: x_fake}")
    train(tmp_path / "everywhere", *SGD, *FOUR)
    train(tmp_path / "one", *SGD, *FOUR, *masks)
    assert run_forked(tmp_path / "two", *SGD, *FOUR, *masks, world=2).codes == [0, 0]
    assert environment(tmp_path / "two")["world_size"] == 2
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6
    assert largest_difference(tmp_path / "one", tmp_path / "everywhere") > 1e-5, "the masks change nothing"


def test_latents_are_the_global_batchs_whatever_the_world_and_new_for_each_step_name_and_seed() -> None:
    def draw(name: str = "z_trg", seed: int = 0, step: int = 0, share: slice = slice(0, 4)) -> torch.Tensor:
        return Draws(seed, step, share.start, share.stop, 4, torch.device("cpu"), torch.float32).normal(name)(16)

    assert torch.cat([draw(share=slice(0, 2)), draw(share=slice(2, 4))]).equal(draw())
    different = [draw(), draw(name="z_trg2"), draw(seed=1), draw(step=1)]
    assert len({tuple(row.tolist()) for latents in different for row in latents}) == 16
    many = Draws(0, 0, 0, 4000, 4000, torch.device("cpu"), torch.float64).normal("z")(8)
    assert (abs(float(many.mean())) < 0.02, abs(float(many.std()) - 1) < 0.02) == (True, True)


def test_latents_differ_from_step_to_step_of_a_run(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "steps=1", *NO_GRIDS)
    assert not run.draws(0).normal("z_trg")(16).equal(run.draws(1).normal("z_trg")(16))


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    ended = run_forked(tmp_path / "run", "data.batch_size=3", world=2)
    assert ended.codes == [2, 2]
    assert "data.batch_size 3 is the whole batch and cannot be shared by 2 processes" in ended.printed[0]


def test_a_process_s_share_that_has_no_such_parts_is_refused(tmp_path: Path) -> None:
    ended = run_forked(tmp_path / "run", "data.gradient_accumulation=4", world=2)
    assert ended.codes == [2, 2]
    assert "a process's 2 samples of a batch cannot be computed in 4 equal parts" in ended.printed[0]


@needs_bf16
def test_bf16_by_the_recipe_keeps_r1_in_full_precision(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path / "run", "precision=bf16", "losses.discriminator.types=trouble/types", "steps=2", *NO_GRIDS)
    assert capfd.readouterr().out.splitlines()[0] == "x_fake torch.bfloat16, real_logits torch.float32"
    assert all(p.dtype == torch.float32 for network in run.networks.values() for p in network.parameters())
    assert all(tensor.isfinite().all() for tensor in tensors(tmp_path / "run").values())


@needs_bf16
def test_bf16_by_the_launcher_is_bf16_and_is_written_into_the_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = run_forked(
        folder, "losses.discriminator.types=trouble/types", "steps=1", *NO_GRIDS, ACCELERATE_MIXED_PRECISION="bf16"
    )
    assert ended.codes == [0], ended.printed
    assert ended.printed[0].splitlines()[0] == "x_fake torch.bfloat16, real_logits torch.float32"
    written = (folder / "recipe.yaml").read_text()
    assert "\nprecision: bf16  # mixed_precision bf16 of accelerate's launcher\n" in written


def test_a_recipe_that_names_its_precision_is_not_overruled_by_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    run = train(tmp_path / "run", "precision=fp32", "steps=1", *NO_GRIDS)
    assert (run.recipe.precision, run.accelerator.mixed_precision) == ("fp32", "no")


def test_fp16_by_the_launcher_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(RecipeError, match="fp16 is refused: its gradient scaler is shared by all") as refused:
        train(tmp_path / "run")
    assert refused.value.exit_code == 2
    assert str(refused.value).startswith("mixed_precision fp16 of accelerate's launcher: ")
    assert not (tmp_path / "run").exists()


def test_two_processes_save_and_stop_together_when_one_is_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = run_forked(folder, "hooks.stop={use: trouble/signal, step: 2, number: 15, rank: 1}", world=2)
    assert ended.codes == [75, 75], ended.printed
    again = f"saved at step 3; continue with: i2i train --run-dir {folder} --resume --plugin {TROUBLE}"
    assert all(printed.splitlines()[-1].endswith(again) for printed in ended.printed)
    assert status(folder)["exit_code"] == 75
    assert environment(folder)["world_size"] == 2


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_saves_though_torchrun_passes_it_on(tmp_path: Path) -> None:
    """The terminal signals torchrun's group, torchrun its workers; torchrun hides their exit code."""
    folder, log = tmp_path / "run", tmp_path / "log.txt"
    launcher = torchrun(arguments(folder, "steps=100000", *NO_GRIDS, "hooks.checkpoint=null"), log)
    wait_for(lambda: len(logged(folder)) >= 2, log)
    os.killpg(launcher.pid, signal.SIGINT)
    assert launcher.wait(60) != 0
    assert status(folder)["exit_code"] == 130, log.read_text()
    assert status(folder)["status"] == "stopped"
    (saved,) = checkpoints.committed(folder / "checkpoints")
    assert checkpoints.verify(saved).step == status(folder)["step"]


CONFIG = """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_CPU
machine_rank: 0
num_machines: 1
num_processes: 2
use_cpu: true
"""


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["2", "1", "MULTI_CPU"])
def test_accelerates_launcher_that_starts_one_process_for_two_is_told(tmp_path: Path, asked: str) -> None:
    options = ["--cpu", "--num_processes", asked]
    if asked == "MULTI_CPU":
        (tmp_path / "config.yaml").write_text(CONFIG)
        options = ["--config_file", str(tmp_path / "config.yaml")]
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *options,
        "-m",
        "i2i_cli",
        *arguments(tmp_path / "run", "steps=1", *NO_GRIDS),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert environment(tmp_path / "run")["world_size"] == 1
    told = (
        "warning: accelerate launch has started one process, since without several GPUs it ignores "
        "--num_processes; for two on a CPU: ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 -m i2i_cli "
        "train ..."
    )
    assert (told in done.stderr.splitlines()) == (asked != "1")


@pytest.mark.slow  # tests/faults kills launchers, too
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")
def test_a_killed_torchrun_leaves_a_saved_run_no_workers_and_no_lock(tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log.txt"
    launcher = torchrun(arguments(folder, "steps=100000", *NO_GRIDS, "data.workers=1"), log)
    wait_for(lambda: len(logged(folder)) >= 2, log)
    assert len(processes_of(folder)) == 5  # the launcher, two processes, a data worker of each
    launcher.kill()
    launcher.wait(10)
    wait_for(lambda: not processes_of(folder), log, seconds=15)
    run_folder.Lock(folder).release()
    assert status(folder)["exit_code"] == 75
    newest, *_ = checkpoints.committed(folder / "checkpoints")
    assert checkpoints.verify(newest).step == status(folder)["step"]


def processes_of(folder: Path) -> list[int]:
    """Processes that were started for the run in `folder`, by their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found
