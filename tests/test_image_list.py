"""Data sets from lists: CSV, JSON lines and Parquet, splits, pairs, attributes, and mistakes with their line."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from i2i_core.data.cache import cached
from i2i_core.data.datasets.image_list import ImageList, ListedDomain, ListedFile, ListedNumbers
from i2i_core.data.formats.labels import Labels
from i2i_core.data.sets import SampledRecords

HEADER = "path,domain,split,pair,Smiling,mask\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures 0 to 3 of two domains, whose red level is 10 times their number, and 100 more for dogs; label maps."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for n, domain in ((n, domain) for n in range(4) for domain in ("cat", "dog")):
        (tmp_path / "files").mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (10 * n + 100 * (domain == "dog"), 0, 0)).save(tmp_path / f"files/{domain}{n}.png")
        Image.new("L", (16, 16), n).save(tmp_path / f"files/mask{n}.png")
    return tmp_path


def rows() -> list[dict[str, Any]]:
    """Return the rows of a list: record 3 is held out, and dogs are in another order than cats."""
    return [
        {
            "path": f"files/{domain}{n}.png",
            "domain": domain,
            "split": "val" if n == 3 else "train",
            "pair": f"p{n}",
            "Smiling": n / 10,
            "mask": f"files/mask{n}.png",
        }
        for domain, order in (("dog", (2, 0, 1, 3)), ("cat", (0, 1, 2, 3)))
        for n in order
    ]


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        nested = [
            {**{k: v for k, v in row.items() if k != "Smiling"}, "about": {"Smiling": row["Smiling"]}} for row in found
        ]
        path.write_text("\n".join(map(json.dumps, nested)) + "\n\n")
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(found), path)
    else:
        path.write_text(HEADER + "".join(",".join(map(str, row.values())) + "\n" for row in found))
    return path


def reds(dataset: ImageList) -> list[list[int]]:
    records = SampledRecords(dataset, (8, 8))
    batches = [records.batch(y, range(records.count(y)))["x"] for y in range(len(records.domains))]
    return [[round(float(x) * 127.5 + 127.5) for x in batch[:, 0, 0, 0]] for batch in batches]


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.parquet"])
def test_a_list_has_domains_splits_pairs_and_attributes(folder: Path, name: str) -> None:
    file = write(folder / name, rows())
    train = ImageList(
        file=file,
        split="train",
        fields={
            "given": ListedNumbers(columns=("Smiling",)),
            "mask": ListedFile(column="mask", format=Labels(classes=4)),
        },
    )
    assert (train.domains, train.paired) == (("cat", "dog"), True)
    first, second = reds(train)
    assert sorted(first) == [0, 10, 20] and [red - 100 for red in second] == first, "pairs have one index"
    found = SampledRecords(train, (8, 8)).batch(1, range(3), ("given", "mask"))
    assert [round(10 * float(n)) for n in found["given"]] == [red // 10 for red in first]
    assert found["mask"].argmax(1)[:, 0, 0].tolist() == [red // 10 for red in first]
    assert reds(ImageList(file=file, split="val")) == [[30], [130]]
    assert len(ImageList(file=file, split=["train", "val"]).files[0]) == 4


def test_a_list_of_paths_alone_is_one_domain(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (file := folder / "elsewhere" / "list.csv").write_text("path\nfiles/cat1.png\nfiles/cat2.png\n")
    dataset = ImageList(file=file, root=folder)
    assert (dataset.domains, dataset.paired, reds(dataset)) == (("pictures",), False, [[10, 20]])
    assert ImageList(file=file, root=folder, domains=["cat"]).domains == ("cat",)


def test_the_recipe_gives_order_formats_and_sizes(folder: Path) -> None:
    file = write(folder / "list.csv", [{**row, "pair": ""} for row in rows()])
    dataset = ImageList(file=file, split="train", domains={"dog": ListedDomain(size=32), "cat": ListedDomain()})
    assert (dataset.domains, dataset.sizes, dataset.paired) == (("dog", "cat"), {"dog": (32, 32)}, False)


def test_a_listed_data_set_is_cached_until_a_picture_changes(folder: Path) -> None:
    file = write(folder / "list.csv", rows())
    records = SampledRecords(ImageList(file=file, split="train"), (8, 8))
    with pytest.warns(UserWarning, match="decoding pictures of 3 records"):
        fitted, _ = cached(records, (8, 8)).fitted(1, 0)
    assert fitted[0, 0].tolist() == [reds(records.dataset)[1][0], 0, 0]
    before = records.dataset.fingerprint()
    Image.new("RGB", (16, 16), "blue").save(folder / "files" / "dog0.png")
    assert ImageList(file=file, split="train").fingerprint() != before


def test_broken_files_are_refused_or_left_out_with_their_partner(folder: Path) -> None:
    file = write(folder / "list.csv", rows())
    (folder / "files" / "dog1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=re.escape("1 broken picture in") + ".*files/dog1.png"):
        ImageList(file=file, split="train")
    with pytest.warns(UserWarning, match="skipped 1 broken picture"):
        dataset = ImageList(file=file, split="train", broken="skip")
    assert sorted(reds(dataset)[0]) == [0, 20]


ROWS = "files/cat0.png,cat,train,p0,1,\nfiles/dog0.png,dog,train,p0,1,\n"
MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a missing file": (
        HEADER + ROWS + "files/gone.png,cat,train,p1,1,\n",
        {"paired": False},
        r"1 file is not in .*: files/gone.png \(.*list.csv:4\); add what is missing, remove its rows, or correct root",
    ),
    "an unknown domain": (
        HEADER + ROWS + "files/cat1.png,cta,train,,1,\n",
        {"domains": ["cat", "dog"]},
        r"list.csv:4: domains does not name the domain 'cta', and 1 row of the list do so \(did you mean cat\?\)",
    ),
    "no domain": (HEADER + ROWS + "files/cat1.png,,train,,1,\n", {}, r"list.csv:4: the column domain is empty"),
    "twice": (
        HEADER + ROWS + "files/cat0.png,cat,val,p9,1,\n",
        {"split": "train"},
        r"list.csv:4: a second row for files/cat0.png, the first is .*list.csv:2; remove one",
    ),
    "no partner": (
        HEADER + ROWS + "files/cat1.png,cat,train,p1,1,\n",
        {},
        r"1 pair lacks a picture: p1 \(not in dog; .*list.csv:4\); add or remove rows, or set paired: false",
    ),
    "two partners": (
        HEADER + ROWS + "files/cat1.png,cat,train,p0,1,\n",
        {},
        r"list.csv:4: a second cat of the pair p0, the first is .*list.csv:2",
    ),
    "no pair": (HEADER + ROWS + "files/cat1.png,cat,train,,1,\n", {}, r"list.csv:4: the column pair is empty"),
    "several splits": (
        HEADER + ROWS + "files/cat1.png,cat,val,p1,1,\nfiles/dog1.png,dog,val,p1,1,\n",
        {},
        r"the list .* has the splits train \(2\), val \(2\); name one, for example split: train",
    ),
    "an unknown split": (
        HEADER + ROWS,
        {"split": "trian"},
        r"no row of .* has the split trian \(did you mean train\?\)",
    ),
    "no number": (
        HEADER + ROWS.replace("p0,1", "p0,yes"),
        {"fields": {"given": ListedNumbers(columns=("Smiling",))}},
        r"list.csv:2: Smiling is 'yes', and should be a number",
    ),
    "a number beyond the range": (
        HEADER + ROWS.replace("p0,1", "p0,3"),
        {"fields": {"given": ListedNumbers(columns=("Smiling",))}},
        r"list.csv:2: Smiling is 3, which is not in the range 0 to 1",
    ),
    "an unknown column": (
        HEADER + ROWS,
        {"fields": {"given": ListedNumbers(columns=("Smilng",))}},
        r"the list .* has no column Smilng \(did you mean Smiling\?\)",
    ),
    "no file of a field": (
        HEADER + ROWS,
        {"fields": {"mask": ListedFile(column="mask")}},
        r"list.csv:2: the column mask is empty",
    ),
    "no path": ("file,domain\na.png,cat\n", {}, r"the list .* has no column path"),
    "a short row": (HEADER + "files/cat0.png,cat\n", {}, r"list.csv:2: 2 columns, and the header has 6"),
    "no rows": (HEADER, {}, r"has no rows"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line(folder: Path, mistake: str) -> None:
    text, keys, message = MISTAKES[mistake]
    (folder / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        ImageList(file=folder / "list.csv", **keys)


def test_nested_values_do_not_replace_columns(folder: Path) -> None:
    about = {"domain": "flickr", "path": "https://example.org/1.jpg", "age": 0.5}
    lines = [{"about": about, "path": f"files/{name}0.png", "domain": name} for name in ("cat", "dog")]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = ImageList(file=folder / "list.jsonl", fields={"age": ListedNumbers(columns=("age",))})
    assert found.domains == ("cat", "dog") and reds(found) == [[0], [100]]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("a.csv", "path,domain\n" + "x" * 5000 + ",cat", "1 file is not in "),
        ("a.csv", "path,domain\nfiles/cat0.png,cat\n./files//cat0.png,cat", "a second row for ./files//cat0.png"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1: its values are nested too deeply"),
    ],
    ids=["long name", "twice", "deep"],
)
def test_odd_values_are_named(folder: Path, name: str, line: str, message: str) -> None:
    (folder / name).write_text(line)
    with pytest.raises(ValueError, match=re.escape(message)):
        ImageList(file=folder / name)


def test_a_list_of_another_kind_is_refused(folder: Path) -> None:
    (folder / "list.txt").write_text("a.png")
    (folder / "list.jsonl").write_text('{"path": "files/cat0.png"}\n{"path": \n')
    (folder / "list.parquet").write_text("nothing of the kind")
    with pytest.raises(ValueError, match="should end in one of .csv, .tsv, .jsonl, .parquet"):
        ImageList(file=folder / "list.txt")
    with pytest.raises(ValueError, match="list.jsonl:2: not JSON"):
        ImageList(file=folder / "list.jsonl")
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="is not Parquet"):
        ImageList(file=folder / "list.parquet")


def test_a_recipe_trains_from_a_list_with_held_out_rows(folder: Path, i2i: Any, toy: Any) -> None:
    write(folder / "list.csv", rows())
    data = (
        f"data={{use: image_list, file: {folder}/list.csv, split: train, image_size: 16, batch_size: 2, "
        f"validation: {{split: val}}}}"
    )
    answer = i2i("train", "--recipe", "toy.yaml", *toy, "--set", data, "--run-dir", folder / "run")
    assert answer.code == 0, answer.err
    assert "pictures: 3 cat, 3 dog; held out: 1 cat, 1 dog" in answer.err
    wrong = i2i("validate", "toy.yaml", *toy, "--set", data.replace("split: val", "split: vla"))
    assert wrong.code == 3 and "did you mean val?" in wrong.err


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"domain": ["cat"]}, r"list.jsonl:1: domain is \['cat'\], and should be text"),
        ({"domain": {"cat": 1}}, r"list.jsonl:1: domain is \{'cat': 1\}, and should be text"),
        ({"path": ["files/cat0.png"]}, r"list.jsonl:1: path is \['files/cat0.png'\], and should be text"),
        ({"split": ["train"]}, r"list.jsonl:1: split is \['train'\], and should be text"),
        ({"domain": "\ud800"}, r"list.jsonl:1: domain is '\\ud800', and should be text"),
        ({"domain": float("nan")}, r"list.jsonl:1: the column domain is empty; write the domain of files/cat0.png"),
    ],
)
def test_values_that_are_no_text_are_told_with_their_line(folder: Path, row: dict[str, Any], said: str) -> None:
    found = {"path": "files/cat0.png", "domain": "cat", "split": "train", **row}
    (folder / "list.jsonl").write_text(json.dumps(found) + "\n")
    with pytest.raises(ValueError, match=said):
        ImageList(file=folder / "list.jsonl", split="train")


def test_a_split_is_told_to_be_empty(folder: Path) -> None:
    (folder / "list.csv").write_text("path,domain,split\nfiles/cat0.png,cat,\nfiles/dog0.png,dog,\n")
    with pytest.raises(ValueError, match=r"^the column split of the list .*list.csv is empty; write its splits, or"):
        ImageList(file=folder / "list.csv", split="train")


def test_whole_numbers_are_pairs_in_any_type_of_number(folder: Path) -> None:
    found = [(1, 1.0), (2**60, float(2**60)), (7.5, 7.5), (-3.0, "-3")]
    lines = [
        json.dumps({"path": f"files/{domain}{n}.png", "domain": domain, "pair": pair[domain == "dog"]})
        for n, pair in enumerate(found)
        for domain in ("cat", "dog")
    ]
    (folder / "list.jsonl").write_text("\n".join(lines))
    dataset = ImageList(file=folder / "list.jsonl")
    assert dataset.paired and [path.name for path in dataset.files[1]] == [f"dog{n}.png" for n in range(4)]


def test_parquet_may_hold_bytes_and_floats_with_missing_values(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    odd = os.fsdecode(b"files/\xff.png")
    shutil.copy(folder / "files/dog0.png", folder / odd)
    table = pyarrow.table(
        {"path": [b"files/cat0.png", os.fsencode(odd)], "domain": [b"cat", b"dog"], "pair": [1.0, 1.0], "n": [1, None]}
    )
    pytest.importorskip("pyarrow.parquet").write_table(table, folder / "list.parquet")
    dataset = ImageList(file=folder / "list.parquet")
    assert dataset.paired and dataset.files == [[folder / "files/cat0.png"], [folder / odd]]
    with pytest.raises(ValueError, match="list.parquet: row 2: n is missing, and should be a number"):
        ImageList(file=folder / "list.parquet", fields={"about": ListedNumbers(columns=("n",))})
