"""Data sets of Hugging Face and torchvision: their classes or columns are domains, and their mistakes are named."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2i_core.data.batches import Samples, loader
from i2i_core.data.cache import cached
from i2i_core.data.datasets.huggingface import Column, DomainColumn, HuggingFace, NumberColumns
from i2i_core.data.datasets.torchvision_sets import Torchvision
from i2i_core.data.formats.labels import Labels
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Grey, Picture
from i2i_core.data.formats.raster import Raster
from i2i_core.data.sets import SampledRecords
from i2i_core.recipe.sections import Data

NAMES = ["cat", "dog", "owl"]
SIZE = (24, 20)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def picture(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.new("RGB", size, (number, 255 - number, 40))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return {"bytes": file.getvalue(), "path": None}


def table(count: int = 6, **columns: tuple[Any, Sequence[Any]]) -> Any:
    """A data set with a picture and a class for each row, and further columns: their features and values."""
    import datasets

    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    values = {"image": [encoded(picture(n)) for n in range(count)], "label": [n % 3 for n in range(count)]}
    features |= {name: feature for name, (feature, _) in columns.items()}
    values |= {name: list(of) for name, (_, of) in columns.items()}
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """A data set of two splits, saved whole."""
    import datasets

    folder = tmp_path / "animals"
    datasets.DatasetDict({"train": table(9), "test": table(3)}).save_to_disk(folder)
    return str(folder)


def level(dataset: Any, domain: int, index: int) -> int:
    """The level of red in a picture of one colour, which is its number."""
    value = dataset.record(domain, index, ["x"], np.random.default_rng(0))["x"]
    return int(np.asarray(value.convert("RGB"))[0, 0, 0])


def levels(dataset: Any) -> dict[str, list[int]]:
    return {name: [level(dataset, y, n) for n in range(dataset.count(y))] for y, name in enumerate(dataset.domains)}


# Hugging Face


def test_named_classes_are_domains_in_the_order_of_rows(saved: str) -> None:
    dataset = HuggingFace(path=saved, split="train")
    assert levels(dataset) == {"cat": [0, 3, 6], "dog": [1, 4, 7], "owl": [2, 5, 8]}
    assert not dataset.paired and dataset.formats["cat"] == Picture()
    assert levels(HuggingFace(path=saved, split="test")) == {"cat": [0], "dog": [1], "owl": [2]}
    chosen = HuggingFace(path=saved, split="train", domains=["owl", "cat"])
    assert levels(chosen) == {"owl": [2, 5, 8], "cat": [0, 3, 6]}
    groups = HuggingFace(path=saved, split="train", domains={"bird": "owl", "pet": ["cat", "dog"]})
    assert levels(groups) == {"bird": [2, 5, 8], "pet": [0, 1, 3, 4, 6, 7]}


def test_texts_and_whole_numbers_are_classes_and_rows_without_one_are_left_out(tmp_path: Path) -> None:
    import datasets

    text = (datasets.Value("string"), ["b", "a", None, "b", "a", "a"])
    flag = (datasets.Value("bool"), [True, False, True, True, None, False])
    table(text=text, flag=flag).save_to_disk(tmp_path / "data")
    assert levels(HuggingFace(path=str(tmp_path / "data"), domain="text")) == {"a": [1, 4, 5], "b": [0, 3]}
    assert levels(HuggingFace(path=str(tmp_path / "data"), domain="flag")) == {"false": [1, 5], "true": [0, 2, 3]}


def test_files_and_folders_are_read_with_a_builder(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "animals.parquet")
    files = HuggingFace(path="parquet", data_files=str(tmp_path / "animals.parquet"), split="train")
    assert levels(files) == {"cat": [0, 3], "dog": [1, 4], "owl": [2, 5]}
    for number, name in enumerate(["ant", "bee", "ant"]):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        picture(number).save(tmp_path / "photos" / name / f"{number}.png")
    folders = HuggingFace(path="imagefolder", data_dir=str(tmp_path / "photos"), split="train")
    assert levels(folders) == {"ant": [0, 2], "bee": [1]}
    before = folders.fingerprint()
    picture(5).save(tmp_path / "photos" / "bee" / "1.png")
    assert folders.fingerprint() != before  # these pictures are not in the data set, which has only their paths


def test_columns_are_pairs_with_formats_of_their_own_and_fields(tmp_path: Path) -> None:
    import datasets

    ids = [encoded(Image.new("L", SIZE, n % 4)) for n in range(6)]
    plane = [np.full((20, 24), n / 10, np.float32) for n in range(6)]
    rows = table(
        ids=(datasets.Image(), ids),
        heights=(datasets.Array2D((20, 24), "float32"), plane),
        square=(datasets.Array2D((24, 24), "float32"), [np.zeros((24, 24), np.float32)] * 6),
        age=(datasets.Value("int32"), [10 * n for n in range(6)]),
        smiles=(datasets.Value("bool"), [n > 2 for n in range(6)]),
    )
    rows.save_to_disk(tmp_path / "data")
    dataset = HuggingFace(
        path=str(tmp_path / "data"),
        columns={"labels": DomainColumn(column="ids", format=Labels(classes=4), size=16), "photos": "image"},
        fields={
            "heights": Column(column="heights", format=Raster(channels=1, range=(0, 1))),
            "given": NumberColumns(columns=("age", "smiles"), format=Numbers(range=(0, 50))),
        },
    )
    assert (dataset.domains, dataset.paired, dataset.count(0)) == (("labels", "photos"), True, 6)
    assert dataset.sizes == {"labels": (16, 16)}
    assert dataset.fields["given"] == Numbers(names=("age", "smiles"), range=(0, 50))
    found = dataset.record(0, 3, ["x", "heights", "given"], np.random.default_rng(0))
    assert np.array_equal(np.asarray(found["x"]), np.full((20, 24), 3))
    assert np.array_equal(found["heights"], np.full((20, 24, 1), 0.3, np.float32))
    assert found["given"] == {"age": 30.0, "smiles": 1.0}
    assert level(dataset, 1, 3) == 3
    assert dataset.extents(1) == {f"row {n}": (20, 24) for n in range(6)}
    with pytest.raises(ValueError, match="row 0 .its ids has 24 x 20 pixels, and its picture 24 x 24"):
        HuggingFace(
            path=str(tmp_path / "data"),
            columns={"heights": DomainColumn(column="square", format=Raster(channels=1, range=(0, 1)))},
            fields={"ids": Column(column="ids", format=Labels(classes=4))},
        )


def test_pictures_are_decoded_as_files_are(tmp_path: Path) -> None:
    """Turned as their EXIF data say, with transparent parts white, and 16 bits scaled."""
    import datasets

    exif = Image.Exif()
    exif[0x0112] = 6
    clear = Image.new("RGBA", SIZE, (9, 9, 9, 0))
    deep = Image.fromarray(np.full((20, 24), 257 * 77, np.uint16))
    images = [encoded(picture(1), "JPEG", exif=exif), encoded(clear), encoded(deep)]
    rows = datasets.Dataset.from_dict(
        {"image": images, "label": [0, 1, 2]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}),
    )
    rows.save_to_disk(tmp_path / "data")
    dataset = HuggingFace(path=str(tmp_path / "data"))
    turned, white, scaled = (dataset.record(y, 0, ["x"], np.random.default_rng(0))["x"] for y in range(3))
    assert turned.size == SIZE[::-1]
    assert np.asarray(white).min() == 255
    assert np.array_equal(np.asarray(scaled), np.full((20, 24, 3), 77))


def test_broken_pictures_are_refused_or_left_out(tmp_path: Path) -> None:
    import datasets

    damaged = encoded(Image.effect_noise(SIZE, 50))
    place = damaged["bytes"].index(b"IDAT") + 60
    damaged["bytes"] = damaged["bytes"][:place] + bytes([damaged["bytes"][place] ^ 1]) + damaged["bytes"][place + 1 :]
    sketches = [encoded(picture(7)), {"bytes": b"no picture", "path": None}, None, damaged]
    rows = table(4, sketch=(datasets.Image(), sketches))
    rows.save_to_disk(tmp_path / "data")
    keys: dict[str, Any] = {"path": str(tmp_path / "data"), "columns": {"photo": "image", "sketch": "sketch"}}
    said = r"^3 broken rows in .*: row 1 \(it is text, .*\), row 2 \(it is empty\), row 3 \(damaged"
    for _ in range(2):  # what the first found is kept
        with pytest.raises(ValueError, match=said):
            HuggingFace(**keys)
    with pytest.warns(UserWarning, match="skipped 3 broken rows"):
        dataset = HuggingFace(**keys, broken="skip")
    assert levels(dataset) == {"photo": [0], "sketch": [7]}


def test_a_log_has_no_progress_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import datasets

    for n, name in enumerate(NAMES[:2]):
        (tmp_path / "photos" / name).mkdir(parents=True)
        picture(n).save(tmp_path / "photos" / name / f"{n}.png")
    keys: dict[str, Any] = {"path": "imagefolder", "data_dir": str(tmp_path / "photos"), "split": "train"}
    datasets.enable_progress_bars()
    datasets.load_dataset(**keys, cache_dir=str(tmp_path / "shown"))
    assert "Generating train split" in capfd.readouterr().err
    assert HuggingFace(**keys).count(0) == 1
    assert capfd.readouterr().err == "" and not datasets.are_progress_bars_disabled()


def test_what_is_left_of_a_picture_is_taken(tmp_path: Path) -> None:
    import datasets

    short = encoded(Image.effect_noise((64, 64), 50), "JPEG")
    short["bytes"] = short["bytes"][: len(short["bytes"]) // 2]
    image = [short, encoded(picture(7)), {"bytes": b"no picture", "path": None}]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    rows = datasets.Dataset.from_dict({"image": image, "label": [0, 1, 2]}, features=features)
    rows.save_to_disk(tmp_path / "data")
    for _ in range(2):  # what the first found is kept
        with pytest.warns(UserWarning, match="broken row") as said:
            dataset = HuggingFace(path=str(tmp_path / "data"), broken="repair")
        texts = [str(one.message) for one in said]
        assert "took what is left of 1 broken row in" in texts[0] and "row 0 (" in texts[0]
        assert "skipped 1 broken row in" in texts[1] and "row 2 (it is text" in texts[1]
        assert [dataset.count(y) for y in range(3)] == [1, 1, 0] and level(dataset, 1, 0) == 7
        left = np.asarray(dataset.record(0, 0, ["x"], np.random.default_rng(0))["x"].convert("L"))
        assert left.shape == (64, 64) and left[:16].std() > 10 > left[-8:].std()


def test_a_row_needs_both_of_its_pictures(tmp_path: Path) -> None:
    import datasets

    short = encoded(Image.effect_noise((64, 64), 50), "JPEG")
    short["bytes"] = short["bytes"][: len(short["bytes"]) // 2]
    lost = {"bytes": b"no picture", "path": None}
    pairs = {"photo": [lost, short, encoded(picture(7))], "map": [short, lost, short]}
    features = datasets.Features(dict.fromkeys(pairs, datasets.Image()))
    datasets.Dataset.from_dict(pairs, features=features).save_to_disk(tmp_path / "data")
    with pytest.warns(UserWarning, match="broken row") as said:
        dataset = HuggingFace(path=str(tmp_path / "data"), columns={name: name for name in pairs}, broken="repair")
    texts = [str(one.message) for one in said]
    assert "took what is left of 1 broken row in" in texts[0] and "row 2 (" in texts[0]
    assert "skipped 2 broken rows in" in texts[1] and "row 0 (it is text" in texts[1]
    assert [dataset.count(y) for y in range(2)] == [1, 1] and level(dataset, 0, 0) == 7


def test_samples_are_those_of_their_numbers_in_data_workers_too(saved: str) -> None:
    data = Data(use="hf/dataset", image_size=16, batch_size=4)
    records = SampledRecords(HuggingFace(path=saved, split="train"), (16, 16))
    samples = Samples(records, ("x_real", "x_ref"), data, seed=1)
    sent = pickle.dumps(samples)  # as it is to a spawned worker
    assert len(sent) < 20_000  # without pictures

    def batches(of: Samples, workers: int) -> list[dict[str, Any]]:
        return list(loader(of, start=0, steps=2, batch_size=4, rank=0, world=1, workers=workers))

    alone = batches(samples, 0)
    for others in (batches(samples, 1), batches(pickle.loads(sent), 0)):
        assert all(one[name].equal(other[name]) for one, other in zip(alone, others, strict=True) for name in one)


def test_a_cache_holds_the_pictures_and_follows_changes(saved: str, tmp_path: Path) -> None:
    records = SampledRecords(HuggingFace(path=saved, split="train"), (20, 24))
    with pytest.warns(UserWarning, match="decoding pictures of 3 records of cat"):
        kept = cached(records, (20, 24))
    assert [int(kept.fitted(1, n)[0][0, 0, 0]) for n in range(3)] == [1, 4, 7]
    assert records.dataset.fingerprint() == HuggingFace(path=saved, split="train").fingerprint()
    assert records.dataset.fingerprint() != HuggingFace(path=saved, split="train", domains=NAMES[::-1]).fingerprint()
    with pytest.warns(UserWarning, match="decoding"):
        other = cached(SampledRecords(HuggingFace(path=saved, split="test"), (20, 24)), (20, 24))
    assert int(other.fitted(2, 0)[0][0, 0, 0]) == 2


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"split": None}, "has the splits train, test; name one in split"),
        ({"split": "tain"}, "it has no split tain; did you mean train?"),
        ({"revision": "abc"}, "was saved whole, so it has no revision; leave that out"),
        ({"image": "img"}, "has no column img; did you mean image?"),
        ({"domain": "image"}, "the column image holds no classes"),
        ({"domains": ["cta"]}, "the column label has no class cta; did you mean cat?"),
        ({"domains": ["cat", "cat"]}, "domains names cat twice"),
        ({"domains": {"pet": []}}, "the domain pet has no classes"),
        ({"columns": {"a": "image"}, "image": "image"}, "leave image, domain and domains out"),
        ({"columns": {"a": "label"}}, r"9 broken rows in .*: row 0 \(it is '0', and no picture\)"),
        ({"fields": {"x": Column(column="image")}}, "a field cannot be called x"),
        ({"fields": {"n": NumberColumns(columns=("m",))}}, "has no column m; known: image, label"),
        ({"fields": {"n": NumberColumns(columns=("label",), format=Grey())}}, "its format is numbers"),
        ({"path": "nobody/nothing"}, r"neither a local folder nor .* \(HF_HUB_OFFLINE is set\); load"),
        ({"path": "pandas"}, "reads pickles, which may run code"),
        ({"path": "parquet", "data_files": "nowhere.parquet"}, "cannot be loaded: Unable to find"),
    ],
)
def test_what_a_data_set_of_hugging_face_lacks_is_said(saved: str, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HuggingFace(**{"path": saved, "split": "train", **keys})


def test_without_the_library_the_extra_is_named(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i_core.data.datasets import huggingface, torchvision_sets
    from i2i_core.errors import PluginError

    for module in (huggingface, torchvision_sets):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r'pip install "i2i-gan\[hf\]"'):
        HuggingFace(path=saved)
    with pytest.raises(PluginError, match=r'pip install "i2i-gan\[torchvision\]"'):
        Torchvision(name="MNIST")


# torchvision


def idx(numbers: Any) -> bytes:
    """Numbers in the format of MNIST's files."""
    array = np.asarray(numbers, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_the_classes_of_mnist_are_domains(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 8), ("t10k", 4)):
        images = np.stack([np.full((28, 28), 10 * n) for n in range(count)])
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx([n % 2 + 3 for n in range(count)]))
    domains: dict[str, str | list[str]] = {"three": "3 - three", "four": "4 - four"}
    dataset = Torchvision(name="MNIST", root=tmp_path, format=Grey(), domains=domains)
    assert levels(dataset) == {"three": [0, 20, 40, 60], "four": [10, 30, 50, 70]}
    held = Torchvision(name="MNIST", root=tmp_path, format=Grey(), domains=domains, arguments={"train": False})
    assert levels(held) == {"three": [0, 20], "four": [10, 30]}
    assert dataset.fingerprint() != held.fingerprint()
    assert levels(pickle.loads(pickle.dumps(dataset))) == levels(dataset)


def test_folders_of_torchvision_are_decoded_as_ours_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        picture(30).save(tmp_path / name / "a.jpg", exif=exif, quality=100)
    dataset = Torchvision(name="ImageFolder", root=tmp_path)
    assert dataset.domains == ("ant", "bee")
    assert dataset.record(0, 0, ["x"], np.random.default_rng(0))["x"].size == SIZE[::-1]
    before = dataset.fingerprint()
    picture(31).save(tmp_path / "ant" / "a.jpg")
    assert dataset.fingerprint() != before


def pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    for name in ("images", "annotations/trimaps"):
        (folder / name).mkdir(parents=True)
    lines = []
    for number, (breed, label, kind) in enumerate([("pug", 3, 2), ("Bengal", 1, 1), ("beagle", 2, 2), ("pug", 3, 2)]):
        name = f"{breed}_{number}"
        picture(50 + number).save(folder / "images" / f"{name}.jpg", quality=100, subsampling=0)
        Image.new("L", SIZE, number % 3 + 1).save(folder / "annotations" / "trimaps" / f"{name}.png")
        lines.append(f"{name} {label} {kind} 1")
    (folder / "annotations" / "trainval.txt").write_text("\n".join(lines))


def test_classes_of_every_kind_and_pictures_as_targets_are_domains(tmp_path: Path) -> None:
    pets(tmp_path)
    name = "OxfordIIITPet"
    assert [len(of) for of in levels(Torchvision(name=name, root=tmp_path)).values()] == [1, 1, 2]
    kinds = Torchvision(name=name, root=tmp_path, arguments={"target_types": "binary-category"})
    assert {kind: len(of) for kind, of in levels(kinds).items()} == {"Cat": 1, "Dog": 3}
    pairs = Torchvision(
        name=name,
        root=tmp_path,
        arguments={"target_types": "segmentation"},
        target=Labels(classes=4),
        domains=["photos", "parts"],
    )
    assert (pairs.domains, pairs.paired, pairs.formats["parts"]) == (("photos", "parts"), True, Labels(classes=4))
    parts = [np.asarray(pairs.record(1, n, ["x"], np.random.default_rng(0))["x"]) for n in range(4)]
    assert [int(ids[0, 0]) for ids in parts] == [1, 2, 3, 1]


def test_attributes_and_their_absence_are_domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    files = [f"{n}.jpg" for n in range(4)]
    for number, file in enumerate(files):
        picture(number).save(folder / "img_align_celeba" / file, quality=100)
    rows = {
        "list_eval_partition.txt": "".join(f"{file} 0\n" for file in files),
        "identity_CelebA.txt": "".join(f"{file} {n}\n" for n, file in enumerate(files)),
        "list_bbox_celeba.txt": "4\nimage_id x\n" + "".join(f"{file} 1\n" for file in files),
        "list_landmarks_align_celeba.txt": "4\nx\n" + "".join(f"{file} 1\n" for file in files),
        "list_attr_celeba.txt": "4\nMale Smiling\n"
        + "".join(f"{file} {2 * (n % 2) - 1} {2 * (n > 1) - 1}\n" for n, file in enumerate(files)),
    }
    for file, text in rows.items():
        (folder / file).write_text(text)
    monkeypatch.setattr(torchvision.datasets.CelebA, "file_list", [("", None, file) for file in rows])  # no checksums
    dataset = Torchvision(name="CelebA", root=tmp_path, domains={"men": "Male", "women": "not Male", "glad": "Smiling"})
    assert {name: len(of) for name, of in levels(dataset).items()} == {"men": 2, "women": 2, "glad": 2}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"name": "CIFAR01"}, "torchvision has no data set CIFAR01; did you mean CIFAR10?"),
        ({"name": "LSUN"}, "unpickles a file of the working directory"),
        ({"name": "CIFAR10"}, "the data set CIFAR10 needs root"),
        ({"name": "CIFAR10", "root": Path("nowhere")}, r"it is not in nowhere, .* write arguments: \{download: true\}"),
        ({"name": "CIFAR10", "root": Path("a"), "arguments": {"tarin": True}}, "no argument tarin .did you mean train"),
        ({"name": "FakeData", "root": Path("a")}, "the data set FakeData has no folder; leave root out"),
        ({"name": "FakeData", "arguments": {"transform": 1}}, "FakeData has no argument transform"),
        ({"name": "FakeData", "arguments": {"size": 0}}, "is empty"),
        (
            {"name": "FakeData", "arguments": {"size": 99, "image_size": [3, 8, 8]}, "domains": ["0", "11"]},
            "the data set FakeData has no class 11; did you mean 1?",
        ),
    ],
)
def test_what_a_data_set_of_torchvision_lacks_is_said(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Torchvision(**keys)


# In a recipe


def test_recipes_train_with_them_and_mark_mistakes(i2i: Any, toy: tuple[str, str], saved: str) -> None:
    hf = f"use: hf/dataset, path: {saved}, split: train, validation: {{split: test}}, image_size: 16, batch_size: 2"
    fake = "use: torchvision/dataset, name: FakeData, arguments: {image_size: [3, 16, 16], num_classes: 2, size: 9}"
    for number, data in enumerate((f"{hf}, workers: 1, cache: 24", f"{fake}, image_size: 16, batch_size: 2"), 1):
        answer = i2i("train", "--recipe", "toy.yaml", *toy, "--set", f"data={{{data}}}", "--set", "steps=2")
        assert answer.code == 0, answer.err
        assert "finished" in Path(f"runs/toy-00{number}/status.json").read_text()
    wrong = i2i("validate", "toy.yaml", *toy, "--set", f"data={{{hf}, splti: a}}")
    assert (wrong.code, "dataset hf/dataset has no key splti (did you mean split?)" in wrong.err) == (2, True)
    wrong = i2i("validate", "toy.yaml", *toy, "--set", f"data={{{hf}, domains: [cta, dog]}}")
    assert (wrong.code, "the column label has no class cta; did you mean cat?" in wrong.err) == (3, True)
    assert i2i("data", "check", "--recipe", "toy.yaml", *toy, "--set", f"data={{{hf}}}").code == 0
