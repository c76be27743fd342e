"""Checkpoints on disk: wholly there or not at all, whatever happens while they are written."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from i2i_core.disk import checkpoints
from i2i_core.disk.files import write_file
from i2i_core.disk.matching import match
from i2i_core.errors import CheckpointError, DiskError

PARTS = {
    "networks/a": {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)},
    "hooks/ema": {"a/weight": torch.ones(2, dtype=torch.bfloat16)},
}
INFO = {"domains": ["Katze", "猫"], "world_size": 1}


def save(folder: Path, step: int, keep: int | None = None) -> Path:
    path = checkpoints.save(folder, step, PARTS, INFO)
    if keep:
        checkpoints.prune(folder, keep, step, pytest.fail)
    return path


def test_the_last_checkpoint_before_weights_exploded_is_kept(tmp_path: Path) -> None:
    for step, largest in enumerate((3.0, 4.0, 1e6, 1e9, 1e12), 1):
        checkpoints.save(tmp_path, step, PARTS, {**INFO, "largest_weight": largest})
        checkpoints.prune(tmp_path, 1, step, pytest.fail)
    assert checkpoints.steps(tmp_path) == [2, 5]
    checkpoints.save(tmp_path, 6, PARTS, INFO)
    checkpoints.prune(tmp_path, 1, 6, pytest.fail)
    assert checkpoints.steps(tmp_path) == [6]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_is_saved_is_loaded_with_its_types_and_what_is_known_of_it(tmp_path: Path) -> None:
    path = save(tmp_path, 12)
    assert path == tmp_path / "step-00000012"
    found = checkpoints.verify(path)
    assert (found.step, found.info["domains"], found.info["world_size"]) == (12, ["Katze", "猫"], 1)
    parts = found.parts()
    assert parts.keys() == PARTS.keys()
    for part, tensors in PARTS.items():
        assert parts[part].keys() == tensors.keys()
        assert all(parts[part][n].dtype == t.dtype and parts[part][n].equal(t) for n, t in tensors.items())


def test_tensors_that_share_memory_and_those_that_are_not_contiguous_are_saved(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    path = checkpoints.save(tmp_path, 1, {"networks/tied": {"one": weight, "two": weight, "turned": weight.T}}, {})
    found = checkpoints.verify(path).parts()["networks/tied"]
    assert found["one"].equal(weight)
    assert found["two"].equal(weight)
    assert found["turned"].equal(weight.T)


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    files = [p for p in save(tmp_path, 1).rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".safetensors", ".json"}
    assert not any(b"torch" in p.read_bytes() for p in files)


def test_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in range(1, 8):
        save(tmp_path, step, keep=3)
    assert names(tmp_path) == ["step-00000005", "step-00000006", "step-00000007"]


def test_checkpoints_of_an_earlier_life_do_not_crowd_out_new_ones(tmp_path: Path) -> None:
    for step in (2, 4, 9):
        save(tmp_path, step)
    save(tmp_path, 5, keep=2)  # 9 did not verify, so the run went on from 4
    assert names(tmp_path) == ["step-00000004", "step-00000005"]


def test_what_killed_saves_leave_is_ignored_and_then_swept_up(tmp_path: Path) -> None:
    save(tmp_path, 3)
    for name in (".stage-step-00000004", ".old-step-00000002"):
        (tmp_path / name / "networks").mkdir(parents=True)
    found = checkpoints.newest(tmp_path, pytest.fail)
    assert found is not None
    assert found.step == 3
    save(tmp_path, 5)
    assert names(tmp_path) == ["step-00000003", "step-00000005"]


def test_any_flipped_byte_of_any_file_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path, 3)
    chance = random.Random(0)
    for file in [p for p in path.rglob("*") if p.is_file()]:
        sound = file.read_bytes()
        before = checkpoints.verify(path)
        for at in chance.sample(range(len(sound)), 60):
            harmed = bytearray(sound)
            harmed[at] ^= 1 << chance.randrange(8)
            file.write_bytes(harmed)
            try:
                assert checkpoints.verify(path) == before  # a blank between two keys of the manifest, say
                assert file.name == checkpoints.MANIFEST
                assert re.fullmatch(rb"[\s\"\\u0-9a-f]*", bytes([sound[at], harmed[at]]))
            except CheckpointError:
                pass
        file.write_bytes(sound)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "null",
        '{"step": 3}',
        '{"files": 5, "sha256": 1, "step": 3}',
        '"x"',
        '{"files": {}, "sha256": "", "step": "3"}',
        "\udce4",
    ],
)
def test_a_manifest_that_is_none_is_called_damaged(tmp_path: Path, manifest: str) -> None:
    path = save(tmp_path, 3)
    (path / checkpoints.MANIFEST).write_bytes(manifest.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=r"step-00000003 is damaged: its manifest.json is missing or invalid"):
        checkpoints.verify(path)


def test_a_checkpoint_under_another_name_does_not_pass(tmp_path: Path) -> None:
    save(tmp_path, 3).rename(tmp_path / "step-00000008")
    said: list[str] = []
    with pytest.raises(CheckpointError, match="is usable"):
        checkpoints.newest(tmp_path, said.append)
    assert "step-00000008 is damaged: its manifest.json is missing or invalid; " in said[0]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(DiskError) as failed:
        save(tmp_path / "checkpoints", 1)
    assert failed.value.exit_code == 74
    assert str(failed.value) == f"{tmp_path}/checkpoints cannot be written: Not a directory"


def test_match_lists_both_sides_names(tmp_path: Path) -> None:
    def part(**shapes: int) -> dict[str, dict[str, Tensor]]:
        return {"networks/a": {name: torch.zeros(size) for name, size in shapes.items()}}

    with pytest.raises(CheckpointError) as refused:
        match(
            part(ours=1, both=2),
            part(theirs=1, both=3),
            "checkpoint c belongs to another recipe",
            "recipe",
            "checkpoint",
        )
    assert str(refused.value) == (
        "checkpoint c belongs to another recipe. "
        "only in the recipe: networks/a: both [2]; networks/a: ours [1]. "
        "only in the checkpoint: networks/a: both [3]; networks/a: theirs [1]"
    )


def save_for_ever(folder: Path) -> None:
    """Checkpoints one after the other; each is 3 MB in four files, filled with its step."""
    torch.set_num_threads(1)
    found = checkpoints.newest(folder, print)
    step = found.step if found else 0
    while True:
        step += 1
        parts = {f"networks/{n}": {"weight": torch.full((200_000,), float(step))} for n in "abcd"}
        checkpoints.save(folder, step, parts, {})
        checkpoints.prune(folder, 2, step, print)


def _forked(target: Callable[[Path], None], folder: Path) -> multiprocessing.Process:
    from .runs import _forks

    process: multiprocessing.Process = _forks().Process(target=target, args=(folder,))
    process.start()
    return process


def test_after_any_kill_the_newest_checkpoint_is_whole_and_none_is_lost(tmp_path: Path) -> None:
    folder, chance, last, unfinished = tmp_path / "checkpoints", random.Random(1), 0, 0
    for _ in range(12):
        process = _forked(save_for_ever, folder)
        deadline = time.monotonic() + 30
        # Two saves, since a kill before the first one was pruned leaves one more.
        while (seen := max(map(_step, checkpoints.committed(folder)), default=0)) <= last + 1:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.join()
        unfinished += any(p.name.startswith(".") for p in folder.iterdir())
        found = checkpoints.newest(folder, pytest.fail)
        assert found is not None
        assert found.step >= seen
        assert all(t["weight"].eq(found.step).all() for t in found.parts().values())
        assert len(checkpoints.committed(folder)) <= 3
        last = found.step
    assert unfinished > 2, "the kills hit no save: the test tests nothing"


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def test_small_files_are_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path / "new" / "status.json", json.dumps({"step": 1}))
    monkeypatch.setattr(os, "fsync", _no_space)
    with pytest.raises(DiskError, match="no space left for .*status.json; free some$"):
        write_file(tmp_path / "new" / "status.json", json.dumps({"step": 2}))
    assert json.loads((tmp_path / "new" / "status.json").read_text()) == {"step": 1}
    monkeypatch.setattr(os, "fsync", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "new" / "status.json", json.dumps({"step": 3}))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["status.json"]  # nothing half written


def _interrupted(_: int) -> None:
    raise KeyboardInterrupt


def _no_space(_: int) -> None:
    import errno

    raise OSError(errno.ENOSPC, "No space left on device")
