"""Files that only say what a run has done: damaged, they cost a warning; a recipe that is damaged is found out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from i2i_core.disk import checkpoints
from i2i_core.disk.seals import sealed, unsealed
from i2i_core.errors import CheckpointError
from i2i_core.training import run_folder

from .runs import NO_GRIDS, Processes, arguments, assert_same_bits, copy_of, logged, run_forked, status, train, wait_for


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, *NO_GRIDS)
    return folder


@pytest.fixture(scope="module")
def short(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, stopped after three steps."""
    folder = tmp_path_factory.mktemp("short") / "run"
    train(folder, "steps=3", *NO_GRIDS)
    return folder


def no_text(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 0x80
    path.write_bytes(whole)


HARM: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no text": no_text,
    "cut": lambda path: os.truncate(path, path.stat().st_size * 2 // 3),
    "other JSON": lambda path: path.write_text("[1]\n" * 3),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("name", ["status.json", "env.json", "metrics.jsonl", "speed.jsonl"])
def test_bookkeeping_that_is_damaged_does_not_hold_up_a_run(
    short: Path, whole: Path, tmp_path: Path, name: str
) -> None:
    for harm, do in HARM.items():
        folder, said = copy_of(short, tmp_path / harm.replace(" ", "-")), list[str]()
        do(folder / name)
        run = train(folder, "steps=6", resume=True, warn=said.append)
        assert run.step == 6
        assert status(folder)["status"] == "finished"
        if name != "metrics.jsonl":
            assert_same_bits(whole, folder)
        assert {line["step"] for line in logged(folder)} >= {4, 5, 6}
        told = [line for line in said if "is damaged: " in line]
        found_out = {"metrics.jsonl": HARM.keys(), "speed.jsonl": ("no text", "other JSON")}.get(name, ())
        assert bool(told) == (harm in found_out), (harm, said)


def test_a_finished_run_whose_status_is_damaged_is_finished_again(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "run")
    (folder / "status.json").write_bytes(b"\xff{")
    assert train(folder, resume=True).step == 6
    assert status(folder)["status"] == "finished"
    assert_same_bits(whole, folder)


def test_each_flip_in_a_runs_recipe_is_found_out(short: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    text = (short / "recipe.yaml").read_bytes()
    for place in range(0, len(text), 7):
        changed = bytearray(text)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match="is damaged or was edited"):
            unsealed(path, "")
    for end in (0, 1, len(text) // 2, len(text) - 1):
        path.write_bytes(text[:end])
        with pytest.raises(CheckpointError, match="is damaged or was edited"):
            unsealed(path, "")


def test_a_run_whose_recipe_is_damaged_needs_another_one(short: Path, whole: Path, tmp_path: Path) -> None:
    folder, said = copy_of(short, tmp_path / "run"), list[str]()
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace("gamma: 1", "gamma: 3"))
    with pytest.raises(CheckpointError) as refused:
        train(folder, "steps=6", resume=True)
    assert str(refused.value) == (
        f"{folder}/recipe.yaml is damaged or was edited, since it does not match the checksum in its last line; bring "
        f"it back, or name the recipe of the run with --recipe to write it anew"
    )
    train(folder, "steps=6", recipe=short / "recipe.yaml", resume=True, warn=said.append)
    assert said == [
        f"{folder}/recipe.yaml is damaged or was edited, since it does not match the checksum in its last line; it is "
        f"replaced, and not compared"
    ]
    assert_same_bits(whole, folder)
    unsealed(folder / "recipe.yaml", "")


def test_a_text_that_has_a_line_like_the_checksum_is_sealed_too(tmp_path: Path) -> None:
    text = sealed("a: 1\n")
    (tmp_path / "twice").write_text(sealed(text))
    assert unsealed(tmp_path / "twice", "") == text


def test_a_checkpoint_that_cannot_be_deleted_does_not_end_the_run(tmp_path: Path) -> None:
    folder, said = tmp_path / "run", list[str]()
    keep_one = "hooks.checkpoint={use: checkpoint, every: 1, keep: 1}"
    train(folder, "steps=1", keep_one, *NO_GRIDS)
    (old,) = checkpoints.committed(folder / "checkpoints")
    if subprocess.run(["chattr", "+i", old], capture_output=True).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        run = train(folder, "steps=4", resume=True, warn=said.append)
    finally:
        subprocess.run(["chattr", "-i", old], check=True)
    assert run.step == 4
    assert said
    assert {*said} == {f"{old} cannot be deleted: Operation not permitted"}
    assert checkpoints.steps(folder / "checkpoints") == [1, 4]


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("rm -r {folder}", "it was"),
        ("mv {folder} {folder}-moved", "it was"),
        ("rm {folder}/run.lock", "its run.lock was"),
        ("rm {folder}/run.lock; touch {folder}/run.lock", "its run.lock was"),
    ],
)
def test_a_run_ends_when_its_folder_is_not_its_own_any_more(tmp_path: Path, harm: str, what: str) -> None:
    folder = tmp_path / "run"
    running = Processes(tmp_path / "logs", arguments(folder, "steps=100000", *NO_GRIDS))
    wait_for(lambda: len(logged(folder)) >= 2, running.logs[0])
    subprocess.run(harm.format(folder=folder), shell=True, check=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    ended = running.wait()
    assert ended.codes == [74], ended.printed
    assert ended.printed[0].splitlines()[-1] == (
        f"{folder} is not used any more, since {what} removed, moved or replaced, and another run may use the folder; "
        f"the run ends here"
    )
    assert folder.exists() == (what != "it was")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before


def test_two_runs_do_not_share_a_folder_whose_lock_was_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = Processes(tmp_path / "logs", arguments(folder, "steps=100000", *NO_GRIDS))
    wait_for(lambda: len(checkpoints.committed(folder / "checkpoints")) >= 1, first.logs[0])
    (folder / "run.lock").unlink()
    with run_folder.Lock(folder):
        assert first.wait().codes == [74]
    resumed = run_forked(folder, "steps=6", "hooks.checkpoint.every=1", resume=True)
    assert resumed.codes in ([0], [2]), resumed.printed  # 2: the first one was further already


def test_a_reader_of_a_run_that_keeps_one_checkpoint_finds_it_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    keep_one = "hooks.checkpoint={use: checkpoint, every: 1, keep: 1}"
    running = Processes(tmp_path / "logs", arguments(folder, "steps=100000", keep_one, *NO_GRIDS))
    wait_for(lambda: checkpoints.steps(folder / "checkpoints") != [], running.logs[0])
    seen = set()
    while len(seen) < 12:
        found = checkpoints.loaded(folder / "checkpoints", pytest.fail)
        assert found is not None
        assert found[1].keys() >= {"networks/generator", "hooks/ema"}
        seen.add(found[0].step)
    running.all[0].kill()
    assert running.wait().codes == [-9]


def test_each_change_of_a_models_config_is_found_out(tiny_model: Path, tmp_path: Path) -> None:
    from i2i_core.models.folder import read

    folder = copy_of(tiny_model, tmp_path / "model")
    read(folder)
    config = json.loads((folder / "config.json").read_text())
    for name in ("plugins", "training", "versions"):
        (folder / "config.json").write_text(json.dumps({**config, name: {}}))
        with pytest.raises(
            CheckpointError, match=r"config\.json does not match its checksum; fetch it again, or if you"
        ):
            read(folder)
    (folder / "config.json").write_text(json.dumps({**config, "sha256": None, "training": {}}))
    assert read(folder).config.training == {}
