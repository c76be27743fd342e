"""Domains of several formats and sizes, records with further fields, and what is loaded and cropped together."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_core.data.batches import Samples, loader, to_device
from i2i_core.data.cache import cached
from i2i_core.data.datasets.image_folders import DomainFolder, Folder, ImageFolders, Table
from i2i_core.data.datasets.tables import read_table
from i2i_core.data.formats.labels import Labels
from i2i_core.data.sets import SampledRecords, directions, layouts
from i2i_core.errors import DataError
from i2i_core.recipe.sections import Augment, Data

SIZE = (12, 16)
TARGETS = {"labels": ["photos"]}


def draw(root: Path, count: int = 5) -> Path:
    """Write label maps, their photos (red = 20 · id), instance ids (id + 1000 · column) and a table."""
    rng = np.random.default_rng(0)
    for folder in ("gt", "photos", "instances"):
        (root / folder).mkdir(parents=True)
    rows = ["image_id,Smiling,Age"]
    for n in range(count):
        ids = np.repeat(np.repeat(rng.integers(5, size=(3, 4)), 8, 0), 8, 1).astype(np.uint8)
        photo = np.stack([20 * ids, 0 * ids, 0 * ids], axis=2).astype(np.uint8)
        Image.fromarray(ids).save(root / "gt" / f"{n}_ids.png")
        Image.fromarray(photo).save(root / "photos" / f"{n}.png")
        instances = (ids.astype(np.int32) + 1000 * (np.arange(32) // 8)).astype(np.uint16)
        Image.fromarray(instances).save(root / "instances" / f"{n}.png")
        rows.append(f"{n}.png,{n % 2},{n / 10}")
    (root / "about.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return draw(tmp_path / "root")


def folders(root: Path, **keys: Any) -> ImageFolders:
    domains: dict[str, DomainFolder | str] = {
        "labels": DomainFolder(folder=Path("gt"), files="*_ids.png", format=Labels(classes=5)),
        "photos": "photos",
    }
    fields: dict[str, Folder | Table] = {
        "instances": Folder(format=Labels(one_hot=False)),
        "about": Table(table=Path("about.csv"), key="image_id", columns=("Smiling", "Age")),
    }
    return ImageFolders(root=root, **{"domains": domains, "fields": fields, "paired": True, **keys})


def batch(dataset: Any, wanted: tuple[str, ...], size: tuple[int, int] = SIZE, **keys: Any) -> dict[str, torch.Tensor]:
    """Return a batch of 32 samples as the networks get it."""
    fit = keys.pop("fit", "stretch")
    data = Data(use="", image_size=size, batch_size=32, targets=keys.pop("targets", TARGETS), augment=Augment(**keys))
    records = SampledRecords(dataset, size, fit)
    forms = layouts(records, directions(data.targets, records.domains))
    samples = Samples(records, wanted, data, 0)
    (found,) = loader(samples, start=0, steps=1, batch_size=32, rank=0, world=1, workers=0)
    return to_device(found, forms, torch.device("cpu"), torch.float32)


CROPS = {"crop": 1.0, "scale": (0.2, 0.5), "flip": 0.5}


def test_a_crop_and_a_mirroring_hold_for_all_fields_of_a_record(root: Path) -> None:
    wanted = ("x_real", "x_pair", "instances_real", "instances_pair", "about_real")
    found = batch(folders(root), wanted, (24, 32), **CROPS)
    ids = found["x_real"].argmax(1)
    assert found["x_real"].shape == (32, 5, 24, 32) and found["x_real"].sum(1).eq(1).all()
    red = found["x_pair"][:, 0].add(1).mul(127.5)
    inner = red.sub(20 * ids).abs() < 1  # pictures are resized bilinearly: at the borders of labels colours mix
    assert inner.float().mean() > 0.7
    assert (found["instances_real"][:, 0] % 1000).equal(ids), "fields of a source are cropped as it is"
    assert found["instances_real"].equal(found["instances_pair"])
    assert found["instances_real"].dtype is torch.int64
    assert found["about_real"].shape == (32, 2)
    assert len({tuple(row.flatten().tolist()) for row in ids}) > 20


def test_fields_of_references_are_those_of_their_records(root: Path) -> None:
    found = batch(folders(root), ("x_ref", "instances_ref", "about_ref", "x_ref2", "about_ref2"), (24, 32), crop=0)
    assert found["x_ref"].shape == (32, 3, 24, 32)
    red = found["x_ref"][:, 0, 4, 4].add(1).mul(127.5)
    torch.testing.assert_close(red, 20.0 * (found["instances_ref"][:, 0, 4, 4] % 1000), atol=1, rtol=0)
    assert not found["about_ref"].equal(found["about_ref2"])


class Watched(ImageFolders):
    def record(self, domain: int, index: int, wanted: Any, rng: Any) -> dict[str, Any]:
        asked.append((domain, tuple(sorted(wanted))))
        return super().record(domain, index, wanted, rng)


asked: list[tuple[int, tuple[str, ...]]] = []


def test_what_nothing_reads_is_not_loaded(root: Path) -> None:
    asked.clear()
    whole = folders(root)
    watched = Watched.__new__(Watched)
    watched.__dict__.update(vars(whole))
    found = batch(watched, ("instances_real", "y_trg"))
    assert found.keys() == {"instances_real", "y_trg"}
    assert {*asked} == {(0, ("instances",))}
    assert found["instances_real"].equal(batch(whole, ("instances_real", "x_real", "x_ref"))["instances_real"])


def test_cached_fields_are_those_of_the_files(root: Path) -> None:
    dataset = folders(root)
    records, data = SampledRecords(dataset, SIZE), Data(use="", image_size=SIZE, batch_size=8, targets=TARGETS)
    wanted = ("x_real", "x_pair", "instances_real", "about_real")
    forms = layouts(records, directions(data.targets, records.domains))
    with pytest.warns(UserWarning, match="decoding"):
        cache = cached(records, SIZE, ("x", "instances", "about"))
    found = []
    for of in (None, cache):
        plain = data.model_copy(update={"augment": Augment(crop=0)})
        samples = Samples(records, wanted, plain, 0, of)
        (one,) = loader(samples, start=0, steps=1, batch_size=8, rank=0, world=1, workers=0)
        found.append(to_device(one, forms, torch.device("cpu"), torch.float32))
    for name in wanted:
        assert found[0][name].equal(found[1][name]), name


def test_domains_have_sizes_of_their_own(root: Path) -> None:
    domains: dict[str, DomainFolder | str] = {
        "small": DomainFolder(folder=Path("photos"), size=(6, 8)),
        "large": DomainFolder(folder=Path("photos"), size=(24, 32)),
    }
    dataset = ImageFolders(root=root, domains=domains, paired=True)
    found = batch(dataset, ("x_real", "x_pair"), targets={"small": ["large"]}, **CROPS)
    assert (found["x_real"].shape[2:], found["x_pair"].shape[2:]) == ((6, 8), (24, 32))
    shrunk = torch.nn.functional.interpolate(found["x_pair"], (6, 8), mode="area")
    assert (shrunk - found["x_real"]).abs().mean() < 0.02, "both show the same part"


@pytest.mark.parametrize("direction", [("small", "large"), ("large", "small")])
def test_patches_are_cut_without_resizing_at_the_same_place_of_a_pair(
    tmp_path: Path, direction: tuple[str, str]
) -> None:
    rng = np.random.default_rng(0)
    for n in range(3):
        large = rng.integers(256, size=(64, 80, 3), dtype=np.uint8)
        for name, picture in (("HR", large), ("LR", large[::4, ::4])):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / name / f"{n}{'x4' if name == 'LR' else ''}.png")
    domains: dict[str, DomainFolder | str] = {
        "small": DomainFolder(folder=Path("LR"), files="*x4.png", size=(8, 8)),
        "large": DomainFolder(folder=Path("HR"), size=(32, 32)),
    }
    dataset = ImageFolders(root=tmp_path, domains=domains, paired=True)
    source, target = direction
    found = batch(dataset, ("x_real", "x_pair"), targets={source: [target]}, fit="patch")
    sides = {source: found["x_real"], target: found["x_pair"]}
    mirrored = sides["large"].flip(3)[:, :, ::4, ::4].flip(3)
    plain = sides["large"][:, :, ::4, ::4]
    exact = [bool(s.equal(p) or s.equal(m)) for s, p, m in zip(sides["small"], plain, mirrored, strict=True)]
    assert all(exact)
    assert len({x.numpy().tobytes() for x in sides["small"]}) > 20


# In a recipe

RECIPE = """
i2i: 1
steps: 2
method: classics/pix2pix
data:
  use: image_folders
  root: root
  paired: true
  domains:
    labels: {folder: gt, files: "*_ids.png", format: {use: labels, classes: 5}}
    photos: {folder: photos}
  fields:
    instances: {format: {use: labels, one_hot: false}}
    about: {table: about.csv, key: image_id, columns: [Smiling, Age]}
  targets: {labels: photos}
  image_size: [16, 24]
  batch_size: 2
networks:
  generator: {use: classics/unet, levels: 3, width: 4, norm: instance}
  discriminator: {use: classics/patchgan, in_channels: 8, width: 4, levels: 1}
losses:
  d: {adversarial: {use: gan/bce, player: discriminator}}
  g: {adversarial: {use: gan/bce, player: generator}, l1: {use: l1, input: x_fake, target: x_pair}}
phases:
  d: {train: discriminator, losses: d}
  g: {train: generator, losses: g}
"""


@pytest.fixture
def recipe(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    Path("labels.yaml").write_text(RECIPE.lstrip())


@pytest.mark.usefixtures("recipe")
def test_label_maps_become_photos_from_the_recipe_to_the_translation(i2i: Callable[..., Any], root: Path) -> None:
    for command in (
        ("validate", "labels.yaml"),
        ("data", "check", "--recipe", "labels.yaml"),
        ("train", "--recipe", "labels.yaml", "--run-dir", "run", "--set", "hooks.samples=sample_grid"),
        ("export", "run", "--to", "model"),
        ("translate", "model", "root/gt", "--out", "out", "--original-size"),
        ("train", "--recipe", "run/recipe.yaml", "--run-dir", "again"),
    ):
        answer = i2i(*command)
        assert answer.code == 0, answer.err
    with Image.open("out/0_ids-photos-0.png") as made:
        assert (made.mode, made.size) == ("RGB", (32, 24))
    answer = i2i("translate", "model", "root/photos")
    assert answer.code == 3
    assert answer.err.splitlines()[0] == (
        "root/photos/0.png cannot be used as a picture: it is a picture of mode RGB, and class ids are grey or "
        "indexed; name the colours of the classes as palette"
    )


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("direction", ["photos: labels", "photos: bands"])
def test_results_are_files_of_the_targets_format(i2i: Callable[..., Any], root: Path, direction: str) -> None:
    (root / "bands").mkdir()
    for path in (root / "photos").iterdir():
        with Image.open(path) as picture:
            numbers = np.asarray(picture).astype(np.uint16) * 30
        np.save(root / "bands" / f"{path.stem}.npy", numbers[..., [0, 1, 2, 0]])
    domains = (
        "data.domains={photos: photos, labels: {folder: gt, files: '*_ids.png', format: {use: labels, classes: 5}}}"
    )
    if "bands" in direction:
        domains = "data.domains={photos: photos, bands: {format: {use: raster, channels: 4, range: [0, 10000]}}}"
    sets = ("--set", domains, "--set", f"data.targets={{{direction}}}", "--set", "networks.discriminator.in_channels=")
    channels = "7" if "bands" in direction else "8"
    answer = i2i("train", "--recipe", "labels.yaml", "--run-dir", "run", *sets[:-1], sets[-1] + channels)
    assert answer.code == 0, answer.err
    answer = i2i("translate", "run", "root/photos/0.png", "--out", "out")
    assert answer.code == 0, answer.err
    if "bands" in direction:
        import tifffile

        made = tifffile.imread("out/0-bands-0.tif")
        assert (made.shape[2], made.dtype) == (4, np.uint16)
        answer = i2i("translate", "run", "root/photos/0.png", "--out", "made.npy")
        assert np.load("made.npy").dtype == np.uint16
    else:
        with Image.open("out/0-labels-0.png") as picture:
            assert picture.mode == "P" and {*np.unique(np.asarray(picture))} <= {*range(5)}


SAID = {
    "data.domains.labels.format.classes=3": "5 broken pictures in root: gt/0_ids.png (",
    "data.domains.labels.format.clases=5": "format labels has no key clases (did you mean classes?)",
    "data.domains.labels.fromat=labels": "data.domains.labels has no key fromat (did you mean format?)",
    "data.domains.labels.format=label": "there is no format called label (did you mean labels?)",
    "data.domains.labels.files=ids.png": "data.domains.labels: files is ids.png; it should be the name of a file with",
    "data.domains.labels.folder=gtt": "there is no folder root/gtt for the domain labels",
    "data.fields.instances.folder=inst": "there is no folder root/inst for the field instances",
    "data.fields.about.columns=[Smiling, Aeg]": "the table root/about.csv has no column Aeg (did you mean Age?)",
    "data.fields.about.key=imag_id": "the table root/about.csv has no column imag_id (did you mean image_id?)",
    "data.fields.about.table=abut.csv": "the table root/abut.csv cannot be read: ",
    "data.fields.about.format={use: numbers, range: [1, 2]}": "the row 0.png of the table about.csv: Smiling is 0, ",
    "data.domains.labels.files='*.png'": "10 records have no partner: 0 (not in labels), 1 (not in labels), ",
    "losses.g.l1.target=instance_pair": "nothing makes the tensor instance_pair (did you mean instances_pair?)",
    "losses.g.l1.target=about_of_background": "nothing makes the tensor about_of_background (the ",
    "data.fields.instances=instances": "data.fields.instances should be a mapping, not 'instances'",
    "uses={a: {inputs: {i: instances_real}}}": "the input i of use a stands for instances_real, which is no further",
    "uses={a: {inputs: {i=j: x_real}}}": "the input i=j of use a has an =, which separates a name from its value",
    "data.fields={x: {folder: instances}}": "a field cannot be called x, the name of the pictures; rename it",
    "data.fields={a b: {folder: instances}}": "a field cannot be called a b, which no tensor could read; rename it",
    "data.fields.about.columns=[Age, Age]": "the column Age is named twice; name each column once",
    "data.fields.about.columns=[]": "no column of the table root/about.csv is named; name some in columns",
    "data.fields.about.format={use: labels, classes: 2}": "the field about is a table of numbers, so its format is",
    "data.domains.labels.files='*_id.png'": "the folder root/gt of the domain labels has no file *_id.png that ends in",
    "data.domains=[photos, photos]": "domains names photos twice; name each domain once",
    "data.domains=[]": "domains names no folder; name some, or leave it out to take all folders",
    "data.validation={fields: {}}": "the held-out records have the field instances not at all, and those of",
    "data.validation={fields: {instances: {format: grey}}}": "the field instances as Grey() of 16 x 24 pixels, and",
}


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("change", SAID)
def test_a_mistake_is_a_sentence_with_its_place(i2i: Callable[..., Any], change: str) -> None:
    answer = i2i("validate", "labels.yaml", "--set", change)
    assert answer.code in (2, 3)
    assert SAID[change] in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.usefixtures("recipe")
def test_files_of_fields_and_tables_are_not_listed_as_ignored(i2i: Callable[..., Any]) -> None:
    Path("root/readme.txt").write_text("")
    found = i2i("data", "check", "--recipe", "labels.yaml").out
    assert [line for line in found.splitlines() if line.startswith("ignored")] == ["ignored: root/readme.txt"]


@pytest.mark.usefixtures("recipe")
def test_two_sources_of_different_kinds_are_refused(i2i: Callable[..., Any]) -> None:
    answer = i2i("validate", "labels.yaml", "--set", "data.targets={labels: photos, photos: labels}")
    assert answer.code == 2
    assert "the domains labels and photos are both sources, but their pictures differ" in answer.err


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("lost", ["root/photos/2.png", "root/instances/2.png"])
def test_a_record_that_lacks_something_is_named(lost: str) -> None:
    Path(lost).unlink()
    with pytest.raises(
        (ValueError, DataError), match=r"2 \(not in photos\)|has no file in root/instances, the field instances: 2;"
    ):
        folders(Path("root"))


@pytest.mark.usefixtures("recipe")
def test_a_field_that_does_not_fit_its_picture_is_named() -> None:
    Image.new("L", (32, 12)).save("root/instances/2.png")
    said = r"1 broken picture in root: instances/2.png \(32 x 12 pixels, and photos/2.png has 32 x 24\)"
    with pytest.raises(ValueError, match=said):
        folders(Path("root"))
    Image.new("L", (64, 48)).save("root/instances/2.png")  # the same picture at another resolution
    folders(Path("root"))
    Image.new("L", (32, 24)).save("root/instances/2.bmp")
    with pytest.raises(ValueError, match="instances/2.bmp and root/instances/2.png are the same record; remove one"):
        folders(Path("root"))


def test_patches_need_pairs_in_the_ratio_of_their_sizes(i2i: Callable[..., Any], recipe: None) -> None:
    del recipe
    sizes = "{small: {folder: photos, size: 4}, large: {folder: large, size: 16}}"
    Path("root/large").mkdir()
    for n in range(5):
        Image.new("RGB", (128, 96)).save(f"root/large/{n}.png")
    sets = (f"data.domains={sizes}", "data.fields={}", "data.targets={small: large}", "data.fit=patch")
    options = [part for one in sets for part in ("--set", one)]
    assert i2i("data", "check", "--recipe", "labels.yaml", *options).code == 0
    answer = i2i("data", "check", "--recipe", "labels.yaml", *options, "--set", "data.cache=32")
    assert answer.code == 2 and "a cache resizes pictures" in answer.err
    Image.new("RGB", (96, 72)).save("root/large/3.png")
    answer = i2i("data", "check", "--recipe", "labels.yaml", *options)
    assert answer.code == 3
    assert (
        "root/photos/3.png has 32 x 24 pixels and root/large/3.png 96 x 72, which is not the ratio of the patches, "
        "4 x 4 and 16 x 16; correct the files or the sizes"
    ) in answer.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file;a;b\n0.png;1;0\n", "has only the column 'file;a;b'; separate its columns by commas"),
        ("file,a,b,a\n0.png,1,0,0\n", "has 2 columns a; rename all but one"),
        ("file,a,b\n0.png,1,0,\n", "t.csv:2: 4 columns, and the header has 3"),
        ("file,a,b\n0.png,1,\xe9\n", "is not text in UTF-8; save it as that"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=re.escape(said)):
        read_table(tmp_path / "t.csv", "file", ("a", "b"))


def test_rows_are_found_by_the_most_of_a_path_and_belong_to_one_record(root: Path) -> None:
    for folder in ("s0", "s1"):
        (root / "more" / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / "more" / folder / "0.png")
    table = Table(table=Path("t.csv"), key="file", columns=("a",))
    (root / "t.csv").write_text("file,a\n0.png,0.1\ns1/0.png,0.2\ns0/0.jpg,0.3\ns0/0.webp,0.4\n")
    dataset = ImageFolders(root=root, domains=["more"], fields={"about": table})
    rows = [dataset.record(0, n, ("about",), np.random.default_rng(0))["about"]["a"] for n in range(2)]
    assert rows == [0.1, 0.2], "s0/0 has two rows that are not its own, so its bare name counts"
    (root / "t.csv").write_text("file,a\nmore/s0/0.png,0.5\nmore/s1/0.png,0.6\n0.png,0.1\n")
    dataset = ImageFolders(root=root, domains=["more"], fields={"about": table})
    assert dataset.record(0, 1, ("about",), np.random.default_rng(0))["about"] == {"a": 0.6}
    (root / "t.csv").write_text("file,a\n9.png,0.1\n")
    with pytest.raises(ValueError, match="no row in the table t.csv, whose column file begins with 9.png: 0.png;"):
        ImageFolders(root=root, domains=["more"], fields={"about": table})
    (root / "t.csv").write_text("file,a\n0.png,0.1\n")
    with pytest.raises(ValueError, match="the row 0.png of the table t.csv would belong to more/s0/0 and more/s1/0; "):
        ImageFolders(root=root, domains=["more"], fields={"about": table})


@pytest.mark.usefixtures("recipe")
def test_a_broken_file_leaves_its_record_out_everywhere(root: Path) -> None:
    (root / "instances" / "1.png").write_bytes(b"")
    (root / "gt" / "3_ids.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped 2 broken pictures"):
        dataset = folders(root, broken="skip")
    assert [dataset.count(y) for y in range(2)] == [3, 3]
    rows = [dataset.record(1, n, ("about",), np.random.default_rng(0))["about"]["Age"] for n in range(3)]
    assert rows == [0.0, 0.2, 0.4]


def test_tables_are_read_as_celeba_has_them(tmp_path: Path) -> None:
    draw(tmp_path / "root", 3)
    (tmp_path / "root" / "list.txt").write_text("3\nSmiling Male\n0.png -1  1\n1.png  1 -1\n2.png  1  1\n")
    from i2i_core.data.formats.numbers import Numbers

    given = Table(table=Path("list.txt"), key="image_id", columns=("Male",), format=Numbers(range=(-1, 1)))
    dataset = ImageFolders(root=tmp_path / "root", domains=["photos"], fields={"given": given})
    assert dataset.record(0, 1, ("given",), np.random.default_rng(0))["given"] == {"Male": -1.0}
    assert dataset.fields["given"].suffixes == (".json",)
