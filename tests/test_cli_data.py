"""`i2i data check`: what is there, what is broken, and whether training would fail."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image


def picture(path: Path, seed: int, size: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(255, size=(size, size, 3), dtype=np.uint8)).save(path)


def noted(answer: Any) -> list[str]:
    return [line.removeprefix("note: ") for line in answer.out.splitlines() if line.startswith("note: ")]


def written(answer: Any) -> dict[str, Any]:
    """Return the keys of `data` that the answer says to write."""
    lines = [line.removeprefix("    ") for line in answer.out.splitlines() if line.startswith("    ")]
    data: dict[str, Any] = yaml.safe_load("\n".join(lines))["data"]
    return data


@pytest.fixture
def photos(toy: object) -> Path:
    """Two domains of two good pictures."""
    for number in range(4):
        picture(Path("photos", "cat" if number < 2 else "dog", f"{number}.jpg"), number)
    return Path("photos")


@pytest.fixture
def bad(photos: Path) -> Path:
    """The same with a file cut short, a speck, a text, a duplicate and a hidden file."""
    whole = (photos / "cat" / "0.jpg").read_bytes()
    (photos / "cat" / "short.jpg").write_bytes(whole[:-40])
    picture(photos / "cat" / "tiny.png", 0, size=1)
    (photos / "dog" / "text.jpg").write_text("no picture at all")
    (photos / "dog" / "again.jpg").write_bytes(whole)
    (photos / "dog" / ".hidden.jpg").write_text("")
    return photos


RECIPE = ("--recipe", "toy.yaml", "--plugin", "toy.py", "--set")
FOLDERS = "data={use: image_folders, root: photos, image_size: 16, batch_size: 2}"
SKIP = "data={use: image_folders, root: photos, image_size: 16, batch_size: 2, broken: skip}"


def test_good_folders(i2i, photos):
    answer = i2i("data", "check", photos)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "photos",
        "domain  pictures  broken  least    median   greatest  aspect  transparent",
        "cat     2         0       16 x 16  16 x 16  16 x 16   1       0",
        "dog     2         0       16 x 16  16 x 16  16 x 16   1       0",
    ]


def test_broken_tiny_and_duplicate_pictures_are_named(i2i, bad):
    answer = i2i("data", "check", bad)
    assert answer.code == 3
    lines = answer.out.splitlines()
    assert [line.split()[:3] for line in lines[2:4]] == [["cat", "2", "2"], ["dog", "3", "1"]]
    assert lines[4:] == [
        "note: 2 files in 1 group have the same bytes; remove what is too much; i2i data split keeps groups together",
        "broken: photos/cat/short.jpg (cut short)",
        "broken: photos/cat/tiny.png (1 x 1 pixels, and each side needs 8)",
        "broken: photos/dog/text.jpg (it is text, not a picture)",
        "duplicates: photos/cat/0.jpg = photos/dog/again.jpg",
    ]
    assert answer.err == (
        "3 broken pictures in photos: cat/short.jpg (cut short), cat/tiny.png (1 x 1 pixels, and each side needs 8), "
        "dog/text.jpg (it is text, not a picture); repair or remove them, or set broken: "
        "skip or repair\n"
    )


def test_files_that_are_no_pictures_are_named(i2i, bad):
    os.mkfifo(bad / "cat" / "pipe.png")  # reading it would wait for ever
    (bad / "cat" / "moving.mp4").write_bytes(b"")
    (bad / "beside.png").write_bytes(b"")
    said = i2i("data", "check", bad).out
    assert "pipe.png (not a regular file)" in said
    assert f"ignored: {bad / 'beside.png'}" in said
    assert f"ignored: {bad / 'cat' / 'moving.mp4'}" in said


def test_a_recipe_that_skips_broken_pictures_is_fine(i2i, bad):
    answer = i2i("data", "check", *RECIPE, SKIP)
    assert (answer.code, answer.err) == (0, "")
    assert "broken: photos/dog/text.jpg (it is text, not a picture)" in answer.out
    answer = i2i("data", "check", *RECIPE, FOLDERS)
    assert answer.code == 3
    assert "broken: photos/dog/text.jpg (it is text, not a picture)" in answer.out
    assert answer.err.startswith("--set data=")


def test_json_names_all_and_says_what_is_wrong(i2i, bad):
    answer = i2i("data", "check", bad, "--json")
    assert (answer.code, answer.err) == (3, "")
    found = json.loads(answer.out)
    assert found["ok"] is False
    assert found["problem"].startswith("3 broken pictures in photos")
    (report,) = found["data"]
    counts = {name: (of["pictures"], of["broken"]) for name, of in report["domains"].items()}
    assert counts == {"cat": (2, 2), "dog": (3, 1)}
    assert report["duplicates"] == [["photos/cat/0.jpg", "photos/dog/again.jpg"]]


def test_one_domain_an_empty_domain_and_no_folder(i2i, photos):
    picture(Path("one", "cat", "0.png"), 0)
    answer = i2i("data", "check", "one")
    assert (answer.code, answer.err) == (3, "one has only the domain cat; a translation needs two domains\n")
    Path("one", "dog").mkdir()
    answer = i2i("data", "check", "one")
    assert (answer.code, answer.err) == (3, "the domain dog of one has no pictures; add some, or remove the folder\n")
    assert "dog     0         0" in answer.out
    answer = i2i("data", "check", "none")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == "there is no folder none, which should hold one folder of pictures per domain\n"
    Path("list.csv").write_text("path,domain\n")
    for command in ("check", "split"):
        answer = i2i("data", command, "list.csv")
        assert answer.code == 3
        assert answer.err == "list.csv is a file, not a folder; lists of pictures are read by use: image_list\n"


def test_data_that_are_not_in_folders_are_counted(i2i, toy):
    answer = i2i("data", "check", "--recipe", "toy.yaml", *toy)
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "toy/noise, training",
        "domain  pictures  broken",
        "a       3         0",
        "b       3         0",
    ]


def test_held_out_pictures_are_checked_too(i2i, photos):
    picture(Path("val", "cat", "0.png"), 0)
    own = "data={use: image_folders, root: photos, image_size: 16, batch_size: 2, validation: {root: val}}"
    answer = i2i("data", "check", *RECIPE, own)
    assert answer.code == 3
    assert re.search(r"^val, held out\ndomain .*\ncat +1 +0 ", answer.out, re.MULTILINE)


def test_a_folder_or_a_recipe_but_not_both(i2i, photos):
    assert i2i("data", "check").code == 2
    answer = i2i("data", "check", photos, "--recipe", "toy.yaml")
    assert answer.code == 2
    assert answer.err.endswith("Error: name either a FOLDER or a recipe with --recipe NAME\n")


def test_a_link_to_nothing_is_named(i2i, photos):
    (photos / "cat" / "gone.png").symlink_to("nowhere.png")
    answer = i2i("data", "check", photos)
    assert answer.code == 3
    assert "gone.png" in answer.out + answer.err


def test_a_missing_folder_of_held_out_pictures_is_named_where_it_is_written(i2i, tmp_path):
    for domain in ("cat", "dog"):
        (tmp_path / "train" / domain).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "train" / domain / "a.png")
    data = f"data={{use: image_folders, root: {tmp_path}/train, image_size: 32, batch_size: 2}}"
    answer = i2i("validate", "stargan_v2.yaml", "--set", data, "--set", "data.validation.root=val")
    assert answer.code == 3
    assert answer.err == (
        "--set data.validation.root=val: there is no folder val, which should hold one folder of pictures per domain\n"
    )


def test_class_ids_that_would_be_read_as_dark_pictures_are_noted(i2i: Any, tmp_path: Path) -> None:
    for domain, top in (("labels", 16), ("photos", 256)):
        (tmp_path / domain).mkdir()
        ids = np.random.default_rng(0).integers(top, size=(16, 16)).astype(np.uint8)
        ids[0, 0] = top - 1
        Image.fromarray(ids).save(tmp_path / domain / "0.png")
    answer = i2i("data", "check", tmp_path)
    assert answer.code == 0
    assert noted(answer) == [
        "the files of labels are grey with levels up to 15, and would be seen nearly black: if these are class ids, "
        "give the domain the format labels; write:"
    ]
    data = written(answer)
    assert data["domains"]["labels"] == {"folder": "labels", "format": {"use": "labels", "classes": 16}}
    sets = f"data={json.dumps({**data, 'image_size': 16, 'batch_size': 1})}"
    assert i2i("validate", "stargan_v2.yaml", "--set", sets).code == 0


@pytest.mark.skipif(os.name == "nt", reason="file names are text")
def test_names_that_are_no_text_are_printed_everywhere_alike(i2i: Any, photos: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff.png")
    try:
        picture(photos / "cat" / odd, seed=99)
    except OSError:  # a file system whose names are text
        pytest.skip("this file system has only names that are text")
    (photos / "cat" / f"{odd}.psd").write_bytes(b"x")
    answer = i2i("data", "check", photos)
    assert r"cat/\udcff.png.psd" in answer.out and "Error" not in answer.err
    files = json.loads(i2i("data", "check", photos, "--json").out)["data"][0]["ignored"]
    assert os.fsencode(files[0]).endswith(b"cat/\xff.png.psd")
    answer = i2i("data", "split", photos, "--val", "30%", "--out", tmp_path / "list.csv")
    assert answer.code != 0 and r"cat/\udcff.png,cat" in answer.err
    assert "list.csv cannot be written: " in answer.err and "no text in UTF-8; rename it" in answer.err
    answer = i2i("train", "--recipe", "stargan_v2.yaml", "--run-dir", tmp_path / odd)
    assert answer.code == 2 and r"\udcff.png is no text in UTF-8; choose another folder" in answer.err
