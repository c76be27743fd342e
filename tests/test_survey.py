"""What `i2i data check` says of layouts and likenesses, and the lists that `i2i data split` writes."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import yaml
from PIL import Image, ImageEnhance

from i2i_core.data.datasets.splits import split_of
from tests.test_cli_data import noted, written


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


def scene(seed: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """A picture with large and small shapes, like no other one."""
    blocks = np.random.default_rng(seed).integers(255, size=(6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)


def save(*paths: str, size: tuple[int, int] = (64, 64)) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        scene(crc32(path.encode()), size).save(path)


def sets(data: dict[str, Any]) -> str:
    return f"data={json.dumps({'image_size': 16, 'batch_size': 1, **data})}"


def report(i2i: Any, *arguments: object) -> dict[str, Any]:
    (found,) = json.loads(i2i("data", "check", *arguments, "--json").out)["data"]
    return dict(found)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("trainA", ("train", "A")),
        ("testB", ("test", "B")),
        ("val", ("val", "")),
        ("Training_Set", ("train", "")),
        ("A_test", ("test", "A")),
        ("train_label", ("train", "label")),
        ("a test", ("test", "a")),
        *((name, ("", name)) for name in ("cat", "valley", "testament", "trains", "latest")),
    ],
)
def test_folders_are_known_by_the_words_for_splits(name: str, found: tuple[str, str]) -> None:
    assert split_of(name) == found


def test_the_layout_of_cyclegan_is_noted_and_what_to_write_trains_with_held_out_pictures(i2i: Any, toy: Any) -> None:
    save(*(f"horse2zebra/{split}{domain}/{n}.png" for split in ("train", "test") for domain in "AB" for n in range(2)))
    answer = i2i("data", "check", "horse2zebra")
    assert answer.code == 0
    assert noted(answer) == [
        "the folders trainA, trainB, testA, testB of horse2zebra are called like splits, and each would be a domain; "
        "write:"
    ]
    data = written(answer)
    assert data["domains"] == {"A": "trainA", "B": "trainB"}
    assert data["validation"] == {"domains": {"A": "testA", "B": "testB"}}
    trained = i2i("train", "--recipe", "toy.yaml", *toy, "--set", sets(data), "--run-dir", "run")
    assert trained.code == 0 and "warning" not in trained.err
    assert "pictures: 2 A, 2 B; held out: 2 A, 2 B\n" in trained.err
    checked = i2i("data", "check", "--recipe", "toy.yaml", *toy, "--set", sets(data))
    assert checked.code == 0 and "held out" in checked.out


def test_training_on_splits_warns_with_what_to_write(i2i: Any, toy: Any) -> None:
    save(*(f"set/{split}{domain}/{n}.png" for split in ("train", "test") for domain in "AB" for n in range(2)))
    data = {"use": "image_folders", "root": "set"}
    said = i2i("train", "--recipe", "toy.yaml", *toy, "--set", sets(data), "--run-dir", "run").err
    assert "warning: the folders trainA, trainB, testA, testB of set are called like splits" in said
    assert "write data: {use: image_folders, root: set, domains: {A: trainA, B: trainB}, validation: " in said


def test_held_out_domains_of_other_names_are_refused_with_what_to_write(i2i: Any, toy: Any) -> None:
    save(*(f"set/{split}{domain}/{n}.png" for split in ("train", "test") for domain in "AB" for n in range(2)))
    lists = {"domains": ["trainA", "trainB"], "validation": {"domains": ["testA", "testB"]}}
    answer = i2i("validate", "toy.yaml", *toy, "--set", sets({"use": "image_folders", "root": "set", **lists}))
    assert answer.code == 3
    assert answer.err.endswith("domains: {A: trainA, B: trainB} and validation: {domains: {A: testA, B: testB}}\n")


def test_a_root_that_is_one_level_too_high_is_noted(i2i: Any) -> None:
    save(*(f"data/afhq/{split}/{d}/{n}.png" for split in ("train", "val") for d in ("cat", "dog") for n in range(2)))
    answer = i2i("data", "check", "data/afhq")
    assert "train holds the folders cat, dog: root is one level too high" in noted(answer)[0]
    expected = {"use": "image_folders", "root": "data/afhq/train", "validation": {"root": "data/afhq/val"}}
    assert written(answer) == expected


def test_splits_that_hold_pictures_are_one_domain_or_pairs_side_by_side(i2i: Any) -> None:
    save(*(f"maps/{split}/{n}.png" for split in ("train", "val") for n in range(5)), size=(64, 32))
    save(*(f"few/{n}.png" for n in range(2)), size=(64, 32))
    save(*(f"one/{split}/{n}.png" for split in ("train", "val") for n in range(2)), size=(64, 48))
    answer = i2i("data", "check", "maps")
    assert (
        "twice as wide as high, as pairs side by side are, but their halves differ; if they are, write:" in answer.out
    )
    data = written(answer)
    assert (data["use"], data["root"], data["validation"]) == (
        "classics/side_by_side",
        "maps/train",
        {"root": "maps/val"},
    )
    few = i2i("data", "check", "few")
    assert few.code == 3 and "are too few to compare their halves; if they are, check a recipe" in few.err
    assert "which i2i init --data few --paired writes:" in few.err
    data = written(i2i("data", "check", "one"))
    assert (data["domains"], data["validation"]) == ({"pictures": "train"}, {"domains": {"pictures": "val"}})
    assert i2i("data", "check", "--recipe", "stargan_v2.yaml", "--set", sets(data)).code == 0


def test_domains_that_hold_splits_are_noted(i2i: Any) -> None:
    save(*(f"set/{domain}/{split}/{n}.png" for split in ("train", "test") for domain in "AB" for n in range(2)))
    answer = i2i("data", "check", "set")
    said = "paired: true if files of one name are pairs, which they do not look like:"
    assert f"would take them all; write, and {said}" in answer.out
    assert written(answer)["domains"] == {"A": "A/train", "B": "B/train"}
    assert written(answer)["validation"] == {"domains": {"A": "A/test", "B": "B/test"}}


def test_folders_inside_domains_are_counted_and_clutter_is_left_out(i2i: Any) -> None:
    save(*(f"set/{domain}/{folder}/{n}.png" for domain in "ab" for folder in ("imgs", "bbox") for n in range(3)))
    save(
        "set/a/imgs/@eaDir/0.png", "set/__MACOSX/a/0.png", "set/b/.ipynb_checkpoints/0.png", "set/b/$RECYCLE.BIN/1.png"
    )
    Path("set/a/Thumbs.db").write_bytes(b"")
    answer = i2i("data", "check", "set")
    assert noted(answer)[0] == "the pictures of a lie in 2 folders: 3 in bbox, 3 in imgs"
    assert written(answer)["domains"] == {"a": "a/imgs", "b": "b/imgs"}
    found = report(i2i, "set")
    assert {name: of["pictures"] for name, of in found["domains"].items()} == {"a": 6, "b": 6}
    assert found["domains"]["a"]["folders"] == {"bbox": 3, "imgs": 3}
    assert found["ignored"] == []


def test_files_behind_links_are_listed_as_those_of_folders(i2i: Any) -> None:
    save("set/a/0.png", "set/b/1.png")
    for name in "ab":
        Path(f"set/{name}/photo.psd").write_bytes(b"")
        Path(f"set/{name}/notes.txt").write_text("")
    Path("linked").mkdir()
    for name in "ab":
        Path("linked", name).symlink_to(Path("set", name).resolve())
    found = report(i2i, "linked")
    assert found["ignored"] == [f"linked/{name}/{file}" for name in "ab" for file in ("notes.txt", "photo.psd")]
    assert found["domains"]["a"]["unread"] == {".psd": 1}
    assert "1 .psd file in the domain a is not read" in noted(i2i("data", "check", "linked"))[0]


def test_a_folder_of_nothing_that_is_read_says_what_is_there(i2i: Any, toy: Any) -> None:
    save("set/a/0.png")
    Path("set/b").mkdir()
    for n in range(20):
        Path(f"set/b/{n}.psd").write_bytes(b"")
    answer = i2i("data", "check", "set")
    assert answer.code == 3
    assert answer.err.startswith("the domain b of set has no pictures that can be read: 20 .psd; add some")
    data = {"use": "image_folders", "root": "set"}
    answer = i2i("train", "--recipe", "toy.yaml", *toy, "--set", sets(data))
    assert answer.code == 3 and "domain b has no pictures that can be read: 20 .psd" in answer.err
    assert "warning: 20 .psd files in set/b are not read\n" in answer.err


def test_sizes_aspects_and_transparency_are_told(i2i: Any) -> None:
    for n, size in enumerate([(10, 20), (64, 32), (32, 32)]):
        save(f"set/a/{n}.png", size=size)
    clear, solid = scene(9), scene(8)
    clear.putalpha(100)
    solid.putalpha(255)
    for name, picture in (("clear", clear), ("solid", solid)):
        Path("set/b").mkdir(exist_ok=True)
        picture.save(f"set/b/{name}.png")
    a, b = report(i2i, "set")["domains"].values()
    assert (a["sizes"], a["aspects"]) == ([[10, 20], [32, 32], [64, 32]], [0.5, 1.0, 2.0])
    assert (a["transparent"], b["transparent"]) == (0, 1)
    assert "a       3         0       10 x 20  32 x 32  64 x 32   0.5 to 2  0\n" in i2i("data", "check", "set").out


def variants(folder: str, seed: int) -> list[str]:
    """Save a picture, a copy, and versions that a person would call the same."""
    picture = scene(seed, (128, 128))
    paths = [f"{folder}/{name}" for name in ("0.png", "1.png", "2.jpg", "3.png", "4.png")]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path in paths[:2]:
        picture.save(path)
    picture.save(paths[2], quality=60)
    picture.resize((48, 48)).save(paths[3])
    ImageEnhance.Brightness(picture).enhance(1.01).save(paths[4])
    return paths


def test_duplicates_and_pictures_that_look_the_same_are_found_and_no_others(i2i: Any) -> None:
    one, *same = variants("set/a", 1)
    scene(1, (128, 128)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("set/a/mirrored.png")
    scene(1, (128, 128)).convert("L").save("set/a/grey.png")
    save(*(f"set/b/{n}.png" for n in range(20)))
    for _ in range(2):  # the second time from the user's cache
        found = report(i2i, "set")
        assert found["duplicates"] == [[one, same[0]]]
        assert found["near_duplicates"] == [[one, *same[1:]]]
        assert found["notes"][0]["text"].startswith(
            "2 files in 1 group have the same bytes and 4 files in 1 group look the same or nearly so;"
        )


def test_class_ids_that_nobody_declared_do_not_all_look_the_same(i2i: Any) -> None:
    Path("set/ids").mkdir(parents=True)
    for n in range(6):
        ids = np.random.default_rng(n).integers(0, 5, (8, 8)).astype(np.uint8)
        Image.fromarray(ids).resize((64, 64), Image.Resampling.NEAREST).save(f"set/ids/{n}.png")
    save(*(f"set/photos/{n}.png" for n in range(6)))
    assert "nearly the same" not in i2i("data", "check", "set").out


def test_pictures_in_training_and_held_out_are_named(i2i: Any, toy: Any) -> None:
    save(*(f"{split}/{domain}/{n}.png" for split in ("train", "val") for domain in "ab" for n in range(3)))
    again = Path("val/a/again.png")
    again.write_bytes(Path("train/a/1.png").read_bytes())
    scene(crc32(b"train/b/2.png")).save("val/b/nearly.jpg", quality=70)
    data = {"use": "image_folders", "root": "train", "validation": {"root": "val"}}
    answer = i2i("data", "check", "--recipe", "toy.yaml", *toy, "--set", sets(data))
    assert answer.code == 0
    assert "note: 2 pictures are in training and held out, so measurements" in answer.out
    assert "in both: train/a/1.png = val/a/again.png\n" in answer.out
    assert "in both: train/b/2.png = val/b/nearly.jpg\n" in answer.out


def test_data_sets_inside_others_are_looked_into(i2i: Any, toy: Any) -> None:
    save(*(f"set/a/{n}.png" for n in range(3)))
    Path("set/a/bad.png").write_bytes(b"bad")
    holes = Path(__file__).resolve().parents[1] / "docs" / "data.md"
    code = holes.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    Path("holes.py").write_text(code)
    data = {"use": "holes/pictures", "of": {"use": "image_folders", "root": "set"}, "targets": {"a": "a"}}
    answer = i2i("data", "check", "--recipe", "toy.yaml", *toy, "--plugin", "holes.py", "--set", sets(data))
    assert answer.code == 3
    assert "set, training\n" in answer.out and "broken: set/a/bad.png (" in answer.out


def split_into(i2i: Any, *arguments: object) -> dict[str, dict[str, str]]:
    """Split, and return the split of each picture by domain."""
    answer = i2i("data", "split", "set", *arguments, "--overwrite")
    assert answer.code == 0, answer.err
    found: dict[str, dict[str, str]] = {}
    with open("set-split.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["domain"], {})[row["path"]] = row["split"]
    return found


def test_a_split_is_by_domain_and_keeps_together_what_looks_the_same(i2i: Any, toy: Any) -> None:
    save(*(f"set/a/photo{n}.png" for n in range(35)), *(f"set/b/drawing{n}.png" for n in range(20)))
    groups = [variants(f"set/b/group{n}", n) for n in range(4)]
    found = split_into(i2i, "--val", "25%", "--test", "4")
    assert Counter(found["a"].values()) == {"train": 22, "val": 9, "test": 4}
    assert Counter(found["b"].values()) == {"train": 26, "val": 10, "test": 4}
    for group in groups:
        assert len({found["b"][path] for path in group}) == 1
    assert found == split_into(i2i, "--val", "25%", "--test", "4"), "the same seed and names give the same split"
    assert found != split_into(i2i, "--val", "25%", "--test", "4", "--seed", "1")
    answer = i2i("data", "split", "set", "--val", "25%", "--overwrite")
    data = yaml.safe_load(answer.out.partition("write in the recipe:\n")[2])["data"]
    assert i2i("data", "check", "--recipe", "toy.yaml", *toy, "--set", sets(data)).out.count("in both") == 0


def test_a_split_keeps_pairs_together(i2i: Any) -> None:
    save(*(f"set/{domain}/{n}.png" for domain in "ab" for n in range(20)))
    found = split_into(i2i, "--val", "20%", "--paired")
    sides = [{Path(path).name: split for path, split in of.items()} for of in found.values()]
    assert sides[0] == sides[1] and Counter(sides[0].values()) == {"train": 16, "val": 4}
    assert Path("set-split.csv").read_text(encoding="utf-8").startswith("path,domain,split,pair\nset/a/0.png,a,")
    Path("set/b/7.png").unlink()
    answer = i2i("data", "split", "set", "--paired", "--overwrite")
    assert answer.code == 3 and "1 record has no partner: 7 (not in b)" in answer.err


def test_what_a_split_cannot_do_is_said(i2i: Any) -> None:
    save("set/a/0.png", "set/a/1.png", "set/b/2.png", "splits/train/a/0.png", "splits/val/a/0.png")
    answer = i2i("data", "split", "set")
    assert answer.code == 3 and "the split train would have no picture of b, which has 1" in answer.err
    answer = i2i("data", "split", "splits")
    assert answer.code == 3 and "root: splits/train" in answer.err
    assert i2i("data", "split", "set", "--val", "120%").code == 2
    assert i2i("data", "split", "set", "--out", "list.txt").code == 2
    answer = i2i("data", "split", "nowhere")
    assert (answer.code, answer.err.count("\n")) == (3, 1)


def mapped(picture: Image.Image) -> Image.Image:
    """A picture in four colours, as a map of a landscape."""
    return picture.convert("L").quantize(4).convert("RGB")


def halves(folder: str, count: int) -> None:
    """Save pictures whose right half is a map of the left one."""
    Path(folder).mkdir(parents=True)
    for n in range(count):
        left, both = scene(n + crc32(folder.encode())), Image.new("RGB", (128, 64))
        both.paste(left, (0, 0))
        both.paste(mapped(left), (64, 0))
        both.save(f"{folder}/{n}.png")


def test_halves_of_pairs_are_known_by_their_edges_and_those_of_landscapes_apart(i2i: Any) -> None:
    halves("maps/train", 6)
    halves("maps/val", 2)
    answer = i2i("data", "check", "maps")
    assert "pairs side by side: the edges of both halves are at the same places; write:" in answer.out
    assert written(answer)["validation"] == {"root": "maps/val"}
    answer = i2i("data", "check", "maps/train")
    assert answer.code == 3 and "which i2i init --data maps/train writes:" in answer.err
    assert yaml.safe_load(answer.err.partition("writes:")[2])["data"]["use"] == "classics/side_by_side"
    for n in range(8):
        horizon = np.zeros((64, 160, 3), np.uint8)
        horizon[20 + 3 * n :] = 200
        wide = Image.blend(Image.fromarray(horizon), scene(n, (160, 64)), 0.5)
        Path("views").mkdir(exist_ok=True)
        wide.save(f"views/{n}.png")
    assert "side by side" not in i2i("data", "check", "views").err


def test_files_of_one_name_are_told_to_be_pairs_by_their_edges(i2i: Any) -> None:
    save(*(f"set/{domain}/{n}.png" for domain in "ab" for n in range(8)))
    assert "the same 8 names, which do not look like pairs; if they are, write:" in i2i("data", "check", "set").out
    assert report(i2i, "set")["look_like_pairs"] is False
    for n in range(8):
        with Image.open(f"set/a/{n}.png") as picture:
            mapped(picture).save(f"set/b/{n}.png")
    answer = i2i("data", "check", "set")
    assert "the same 8 names, which look like pairs; write:" in answer.out and written(answer)["paired"] is True
    for split, numbers in (("train", range(6)), ("val", range(6, 8))):
        for domain in "ab":
            Path(f"inside/{domain}/{split}").mkdir(parents=True)
            for n in numbers:
                shutil.copy(f"set/{domain}/{n}.png", f"inside/{domain}/{split}/{n}.png")
    answer = i2i("data", "check", "inside")
    assert "and files of one name look like pairs; write:" in answer.out and written(answer)["paired"] is True


def test_files_without_a_partner_are_named_where_the_others_look_like_pairs(i2i: Any) -> None:
    for n in range(8):
        save(f"set/a/{n}.png")
        Path("set/b").mkdir(exist_ok=True)
        with Image.open(f"set/a/{n}.png") as picture:
            mapped(picture).save(f"set/b/{n}.jpg")
    save("set/a/lone one.png", "set/b/9.png")
    answer = i2i("data", "check", "set")
    assert "look like pairs, but 2 files have no partner: a/lone one.png, b/9.png; remove or rename" in answer.out
    assert written(answer)["paired"] is True
    save(*(f"apart/a/{n}.png" for n in range(8)), *(f"apart/b/{n}.png" for n in range(1, 9)))
    assert "partner" not in i2i("data", "check", "apart").out


def test_pairs_side_by_side_are_looked_into(i2i: Any, toy: Any) -> None:
    save("both/0.png", "both/1.png", size=(64, 32))
    Path("both/again.png").write_bytes(Path("both/1.png").read_bytes())
    scene(crc32(b"both/0.png"), (64, 32)).save("both/nearly.jpg", quality=70)
    Path("both/bad.png").write_bytes(b"bad")
    data = {"use": "classics/side_by_side", "root": "both", "domains": ["a", "b"]}
    (found,) = json.loads(i2i("data", "check", "--recipe", "toy.yaml", *toy, "--set", sets(data), "--json").out)["data"]
    for name in "ab":
        of = found["domains"][name]
        assert (of["pictures"], of["broken"], of["sizes"][1]) == (4, 1, [32, 32])
    assert found["broken"][0]["file"] == "both/bad.png"
    assert found["duplicates"] == [["both/1.png", "both/again.png"]]
    assert found["near_duplicates"] == [["both/0.png", "both/nearly.jpg"]]
