"""A run's folder: who may use it, what is in it, and how a run that is told to stop leaves it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import yaml

from i2i_core.disk import checkpoints
from i2i_core.errors import Locked, RecipeError, UsageError
from i2i_core.training import run_folder

from .runs import (
    NO_GRIDS,
    TROUBLE,
    Processes,
    arguments,
    assert_same_bits,
    logged,
    plugins,
    run_forked,
    status,
    train,
    wait_for,
)

ONE = ("steps=1", *NO_GRIDS)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done") / "run"
    train(folder, "losses.generator.diversity.weight={ramp: [-1, 0], over: 10}", "optimizers.discriminator={lr: 2e-4}")
    return folder


def test_a_run_folder_holds_what_the_run_was_and_what_it_did(done: Path) -> None:
    assert {p.name for p in done.iterdir()} == {
        "recipe.yaml",
        "env.json",
        "status.json",
        "run.lock",
        "metrics.jsonl",
        "speed.jsonl",
        "checkpoints",
        "samples",
    }
    facts = json.loads((done / "env.json").read_text())
    assert facts["versions"]["torch"]
    assert facts["plugins"]["stargan_v2"]
    assert facts["device"] == "cpu"
    assert (facts["world_size"], facts["threads"]) == (1, 1)
    assert {k: status(done)[k] for k in ("status", "step", "exit_code")} == {
        "status": "finished",
        "step": 6,
        "exit_code": 0,
    }
    info = checkpoints.verify(done / "checkpoints" / "step-00000006").info
    assert info["domains"] == ["flat", "high_contrast"]


def test_the_resolved_recipe_alone_reproduces_the_run_bit_for_bit(done: Path, tmp_path: Path) -> None:
    train(tmp_path / "again", recipe=done / "recipe.yaml")
    assert_same_bits(done, tmp_path / "again")
    a, b = ((folder / "recipe.yaml").read_text() for folder in (done, tmp_path / "again"))
    assert yaml.safe_load(a) == yaml.safe_load(b)


def test_the_resolved_recipe_says_where_each_value_comes_from(done: Path) -> None:
    lines = (done / "recipe.yaml").read_text().splitlines()
    for line in (
        "steps: 6  # --set steps=6",
        "seed: 0  # default",
        "    eps: 1e-08  # default",
        "  image_size: [32, 32]  # --set data.image_size=32",
        "    crop: 0.5  # default",
        "    channel_base: 64  # --set networks.generator.channel_base=64",
        "    lr: 0.0002  # --set optimizers.discriminator={lr: 2e-4}",
    ):
        assert line in lines
    written = (plugins().recipes()["stargan_v2.yaml"]).read_text().splitlines()
    for key, value in (("method", "stargan_v2/method"), ("      use", "stargan_v2/cycle"), ("    of", "x_fake")):
        found = next(line for line in lines if line.startswith(f"{key}: {value}  # "))
        line, column = found.rpartition("stargan_v2.yaml:")[2].split(":")
        assert written[int(line) - 1][int(column) - 1 :].startswith(value)
    leaves = [line for line in lines[:-1] if not line.endswith(":")]
    assert [line for line in leaves if "  # " not in line] == []


def test_a_set_on_several_lines_leaves_a_recipe_that_can_be_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, *ONE, "hooks.metrics={use: metrics,\n\n  every: 1}")
    assert "    every: 1  # --set hooks.metrics={use: metrics, every: 1}" in (folder / "recipe.yaml").read_text()
    train(folder, "steps=2", resume=True)
    assert status(folder)["step"] == 2


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, *ONE)
    with run_folder.Lock(folder):
        ended = run_forked(folder, resume=True)
    assert ended.codes == [73]
    assert ended.printed[0] == f"{folder} is in use by another process; wait for it, or choose another --run-dir\n"
    assert status(folder)["status"] == "finished"
    assert run_forked(folder, resume=True).codes == [0]


def test_all_processes_of_a_run_learn_that_its_folder_is_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, *ONE)
    with run_folder.Lock(folder):
        assert run_forked(folder, resume=True, world=2).codes == [73, 73]


def test_a_lock_is_free_again_after_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RecipeError):
        train(folder, "data.image_size=8")  # too small for the networks
    held = run_folder.Lock(folder)
    with pytest.raises(Locked):
        run_folder.Lock(folder)
    held.release()


def test_a_folder_that_holds_a_run_is_not_overwritten(done: Path) -> None:
    with pytest.raises(UsageError) as refused:
        train(done)
    assert refused.value.exit_code == 2
    assert str(refused.value) == f"{done} already holds a run; continue it with --resume or choose another --run-dir"
    assert status(done)["status"] == "finished"


def test_an_empty_folder_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        train(tmp_path, resume=True)
    assert refused.value.exit_code == 2
    assert str(refused.value) == f"{tmp_path} holds no run to resume: it has no recipe.yaml"


def test_without_a_folder_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "face-001").mkdir(parents=True)
    assert [run_folder.make(None, "face") for _ in range(2)] == [Path("runs/face-002"), Path("runs/face-003")]


def test_a_mistake_in_the_recipe_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        train(tmp_path / "run", "networks.generator.max_chanels=8")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("number", "code", "end"),
    [
        (signal.SIGTERM, 75, "saved at step 3; continue with: i2i train --run-dir {folder} --resume --plugin {plugin}"),
        (signal.SIGINT, 130, "saved at step 3; continue with: i2i train --run-dir {folder} --resume --plugin {plugin}"),
    ],
)
def test_a_run_that_is_told_to_stop_ends_its_step_and_saves(tmp_path: Path, number: int, code: int, end: str) -> None:
    folder = tmp_path / "run"
    ended = run_forked(
        folder, f"hooks.stop={{use: trouble/signal, step: 2, number: {int(number)}}}", "hooks.checkpoint=null"
    )
    assert ended.codes == [code], ended.printed
    assert ended.printed[0].splitlines()[-1] == end.format(folder=folder, plugin=TROUBLE)
    assert {k: status(folder)[k] for k in ("status", "step", "exit_code")} == {
        "status": "stopped",
        "step": 3,
        "exit_code": code,
    }
    assert checkpoints.verify(folder / "checkpoints" / "step-00000003").step == 3


def test_a_second_sigterm_does_not_cost_the_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = run_forked(
        folder,
        "hooks.stop={use: trouble/signal, step: 2, number: 15}",
        "hooks.again={use: trouble/signal_when_saved, number: 15}",
    )
    assert ended.codes == [75], ended.printed
    assert checkpoints.verify(folder / "checkpoints" / "step-00000003").step == 3


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = run_forked(folder, "hooks.stop={use: trouble/signal, step: 4, number: 2, times: 2}")
    assert ended.codes == [130], ended.printed
    assert ended.printed[0].splitlines()[-1] == (
        f"interrupted; continue with: i2i train --run-dir {folder} --resume --plugin {TROUBLE}"
    )
    assert [p.name for p in checkpoints.committed(folder / "checkpoints")] == ["step-00000003"]


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 75, "stopped by SIGTERM; training had not begun; start it again"),
        (signal.SIGINT, 130, "interrupted; training had not begun; start it again"),
    ],
)
def test_a_signal_before_training_stops_at_once(tmp_path: Path, number: int, code: int, said: str) -> None:
    folder = tmp_path / "run"
    ended = run_forked(folder, f"hooks.made={{use: trouble/signal_when_made, number: {int(number)}}}")
    assert ended.codes == [code], ended.printed
    assert ended.printed[0].splitlines()[-1] == said
    assert (status(folder)["status"], status(folder)["exit_code"]) == ("stopped", code)


def test_a_run_that_is_told_to_stop_in_its_last_step_is_finished(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = run_forked(folder, "hooks.stop={use: trouble/signal, step: 5, number: 15}", "hooks.end=trouble/end")
    assert ended.codes == [0], ended.printed
    assert status(folder)["status"] == "finished"
    assert checkpoints.verify(folder / "checkpoints" / "step-00000006").step == 6
    assert (folder / "end").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_to_the_whole_group_saves_though_it_reaches_the_data_workers(
    tmp_path: Path, number: int, code: int
) -> None:
    folder = tmp_path / "run"
    running = Processes(tmp_path / "logs", arguments(folder, "steps=100000", "data.workers=2", *NO_GRIDS))
    wait_for(lambda: len(logged(folder)) >= 2, running.logs[0])
    os.killpg(running.all[0].pid, number)
    ended = running.wait()
    assert ended.codes == [code], ended.printed
    assert ended.printed[0].splitlines()[-1].startswith("saved at step ")
    assert "Traceback" not in ended.printed[0]
    saved, *_ = checkpoints.committed(folder / "checkpoints")  # the newest; a slow signal may come after a regular one
    assert checkpoints.verify(saved).step == status(folder)["step"]


def test_a_hook_that_has_no_state_hears_of_every_saved_step_before_it_is_saved(tmp_path: Path) -> None:
    """Else a kill right after the save would cost a picture for ever."""
    run = train(tmp_path / "run", *ONE)
    order = [impl.plugin_name for impl in run.events.after_step.get_hookimpls()]  # called from last to first
    assert order[0] == "checkpoint"
    assert order[-1] == "ema"
    assert "trouble/signal" in plugins().registry.names("hook")
