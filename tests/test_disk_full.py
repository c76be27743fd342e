"""A disk without space costs no checkpoint and is one sentence; the run goes on once there is some."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from i2i_core.disk import checkpoints
from i2i_core.errors import DiskError
from i2i_emoji.drawings import Drawings

from .runs import NO_GRIDS, assert_same_bits, logged, run_forked, status, train

KEEP_ALL = "hooks.checkpoint={every: 1, keep: 100}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """2 MB: a few checkpoints of a tiny run."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_space(tmp_path: Path, small_disk: Path) -> None:
    folder = small_disk / "run"
    ended = run_forked(folder, "steps=1000", KEEP_ALL, *NO_GRIDS)
    assert ended.codes == [74], ended.printed
    assert ended.printed[0] == (
        f"no space left for {folder}/checkpoints; free some and resume with --resume, nothing saved is lost\n"
    )
    found = checkpoints.newest(folder / "checkpoints", pytest.fail)
    assert found is not None
    assert found.step >= 2
    assert not list((folder / "checkpoints").glob(".stage-*"))
    for path in checkpoints.committed(folder / "checkpoints")[1:]:
        shutil.rmtree(path)
    steps = f"steps={found.step + 1}"
    train(folder, steps, "hooks.checkpoint={every: 1, keep: 1}", resume=True)
    train(tmp_path / "whole", steps, "hooks.checkpoint={every: 1, keep: 1}", *NO_GRIDS)
    assert_same_bits(tmp_path / "whole", folder)  # metrics too
    assert status(folder)["status"] == "finished"


@pytest.mark.parametrize(
    ("writer", "sets"),
    [
        ("samples", ("hooks.metrics=null",)),
        ("metrics", NO_GRIDS),
        ("status", ("hooks.metrics=null", *NO_GRIDS, "steps=3")),
        ("tracker", (*NO_GRIDS, "hooks.tracker=tracker")),
        ("a hook of one's own", ("hooks.metrics=null", *NO_GRIDS, "hooks.own=trouble/own_file")),
    ],
)
def test_whatever_meets_the_full_disk_explains_it(
    tmp_path: Path, small_disk: Path, writer: str, sets: tuple[str, ...]
) -> None:
    folder = small_disk / "run"
    train(folder, "steps=2", KEEP_ALL, *NO_GRIDS)
    with pytest.raises(DiskError) as failed:
        train(
            folder,
            "steps=50",
            "hooks.checkpoint=null",
            "hooks.full={use: trouble/fill_disk, step: 2}",
            *sets,
            resume=True,
        )
    assert failed.value.exit_code == 74
    assert str(failed.value).startswith(f"no space left for {folder}")
    (folder / "ballast").unlink()
    assert json.loads((folder / "status.json").read_text())["status"] == "running"  # as it was
    said: list[str] = []
    run = train(
        folder,
        "steps=3",
        "hooks.checkpoint={use: checkpoint, every: 1, keep: 1}",
        "hooks.full=null",
        resume=True,
        warn=said.append,
    )
    assert (run.step, said) == (3, [])
    assert [line["step"] for line in logged(folder)] == [1, 2, 3][: 2 + (writer in ("metrics", "tracker"))]


@pytest.mark.parametrize(
    "arguments",
    [
        ("translate", "--out", "many"),
        ("grid", "--out", "grid.png"),
        ("video", "--out", "film.webp"),
        ("video", "--out", "film.mp4"),
    ],
)
def test_pictures_that_do_not_fit_are_one_sentence_and_leave_no_pieces(
    tiny_run: Path, tmp_path: Path, small_disk: Path, call: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    subcommand, option, name = arguments
    (small_disk / "ballast").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 8192))  # two pages are left
    pictures = [tmp_path / f"{n}.png" for n in range(4)]
    for n, path in enumerate(pictures):
        Drawings(split="val").picture(0, n).save(path)
    answer = call(subcommand, tiny_run, *pictures, "--styles", 2, option, small_disk / name)
    assert (answer.code, answer.out) == (74, "")
    assert re.fullmatch(rf"no space left for {small_disk / name}\S*; free some\n", answer.err)
    assert not [path for path in small_disk.rglob(".*")]


def test_a_cache_that_does_not_fit_is_one_sentence_and_leaves_the_space_free(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    with pytest.raises(DiskError) as failed:
        train(tmp_path / "run", "data.cache=64", "steps=1", *NO_GRIDS)
    assert failed.value.exit_code == 74
    (said,) = re.findall(r"pixels/\w{32}(.*)", str(failed.value))
    assert said == (
        ": No space left on device (free some space, set XDG_CACHE_HOME to another folder, or leave data.cache out)"
    )
    assert not list((small_disk / "i2i" / "pixels").iterdir())
