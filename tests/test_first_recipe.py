"""`i2i init --data` writes a recipe that fits the pictures, and that trains."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw, ImageFilter

from i2i.first_recipe import First, Wish, first_recipe
from i2i.yaml_edits import RecipeText
from i2i_core.errors import DataError, UsageError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import Plugins, discover

TEXT = """\
# A recipe.
steps: 1400  # iterations

data:
  use: emoji  # a comment
  size: [1, 2]

# About networks.
networks:
  generator: {use: g, sizes: [8, 16]}  # G

hooks:
  grid: {every: 350}
  other: other
"""


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


def drawing(number: int, size: tuple[int, int] = (80, 70)) -> Image.Image:
    rng = np.random.default_rng(number)
    made = Image.new("RGB", size, tuple(rng.integers(256, size=3).tolist()))
    for _ in range(6):
        x, y, r = (int(n) for n in rng.integers(8, 60, size=3))
        ImageDraw.Draw(made).ellipse((x, y, x + r, y + r), fill=tuple(rng.integers(256, size=3).tolist()))
    return made


def write(folder: str, count: int, first: int = 0, size: tuple[int, int] = (80, 70), name: str = "{}.png") -> None:
    Path(folder).mkdir(parents=True)
    for n in range(count):
        drawing(first + n, size).save(Path(folder, name.format(n)))


def made(plugins: Plugins, place: str = "photos", fast: bool = False, **wish: Any) -> tuple[First, Any]:
    found = first_recipe(Path(place), plugins, Wish(**wish), fast)
    Path("own.yaml").write_text(found.text)
    load("own.yaml", (), plugins)  # whatever it is, it is a valid recipe
    return found, yaml.safe_load(found.text)


def test_values_are_replaced_and_comments_stay() -> None:
    text = RecipeText(TEXT)
    text.replace(("steps",), "2800")
    text.replace(("networks", "generator", "sizes"), "[4]")
    text.replace_lines(("hooks", "grid"), "")
    text.replace_lines(("data",), "data:\n  use: folders")
    text.insert_after(("steps",), "seed: 1")
    assert text.text == (
        "# A recipe.\nsteps: 2800  # iterations\nseed: 1\n\ndata:\n  use: folders\n\n# About networks.\nnetworks:\n"
        "  generator: {use: g, sizes: [4]}  # G\n\nhooks:\n  other: other\n"
    )
    assert text.has(("hooks", "other")) and not text.has(("hooks", "grid"))


def test_folders_of_pictures_become_a_recipe_of_minutes(plugins: Plugins) -> None:
    write("photos/cat", 5, name="c{}.png")
    write("photos/dog", 6, first=20, name="d{}.png")
    found, recipe = made(plugins)
    assert recipe["data"] == {
        "use": "image_folders", "root": "photos", "image_size": 64, "fit": "stretch", "batch_size": 4, "workers": 2,
        "targets": "others",
    }  # fmt: skip
    assert recipe["steps"] == 1400 and recipe["networks"]["generator"]["skip"]["sizes"] == [8, 16, 32]
    assert "true_pairs" not in recipe["hooks"]
    assert found.said[0] == "11 pictures: cat 5, dog 6"
    assert "# domains: cat (5 pictures), dog (6 pictures)" in found.text


@pytest.mark.parametrize(("fast", "size"), [(False, 32), (False, 128), (True, 64), (True, 256)])
def test_a_recipe_of_any_size(plugins: Plugins, fast: bool, size: int) -> None:
    write("photos/cat", 3, name="c{}.png")
    write("photos/dog", 3, first=20, name="d{}.png")
    _, recipe = made(plugins, fast=fast, size=size, steps=7000)
    assert recipe["data"]["image_size"] == size and recipe["steps"] == 7000
    ramp = recipe["losses"]["generator"]["diversity"]["weight"]
    assert ramp["over"] == 7000 and recipe["hooks"]["latent"]["every"] == (1750 if not fast else 350)
    if not fast:
        assert recipe["networks"]["generator"]["skip"]["sizes"] == [size // 8, size // 4, size // 2]


def test_held_out_folders_and_wide_pictures(plugins: Plugins) -> None:
    for split, count in (("train", 4), ("val", 2)):
        for domain in ("cat", "dog"):
            write(
                f"photos/{split}/{domain}", count, first=len(domain + split) * 9, size=(160, 70), name=domain + "{}.png"
            )
    _, recipe = made(plugins)
    assert recipe["data"]["root"] == "photos/train" and recipe["data"]["validation"] == {"root": "photos/val"}
    assert recipe["data"]["fit"] == "crop"
    write("zebras/trainA", 3, name="a{}.png")
    write("zebras/trainB", 3, first=30, name="b{}.png")
    write("zebras/testA", 3, first=60, name="a{}.png")
    write("zebras/testB", 3, first=90, name="b{}.png")
    _, recipe = made(plugins, "zebras")
    assert recipe["data"]["domains"] == {"A": "trainA", "B": "trainB"}
    assert recipe["data"]["validation"] == {"domains": {"A": "testA", "B": "testB"}}


def test_pairs_are_known_by_their_edges(plugins: Plugins) -> None:
    write("photos/cat", 8)
    write("photos/dog", 8, first=50)  # of the same names
    found, recipe = made(plugins)
    assert "paired" not in recipe["data"]
    assert "files of one name do not look like pairs; --paired or --unpaired says so" in found.said
    _, recipe = made(plugins, paired=True)
    assert recipe["data"]["paired"] and recipe["method"] == "classics/pix2pix"
    write("maps/photo", 8)
    Path("maps/lines").mkdir()
    for n in range(8):
        drawing(n).filter(ImageFilter.FIND_EDGES).save(f"maps/lines/{n}.png")
    found, recipe = made(plugins, "maps", size=128)
    assert recipe["data"]["targets"] == {"lines": "photo"} and recipe["data"]["paired"]
    assert recipe["networks"]["generator"]["levels"] == int(math.log2(128))
    drawing(90).save("maps/photo/90.png")
    said = made(plugins, "maps")[0].said
    assert any("has no partner: photo/90.png; remove or rename them, and write:\n    data:" in line for line in said)


def test_pairs_side_by_side_are_told_how_to_be_held_out(plugins: Plugins) -> None:
    write_doubles("maps", 6)
    found, _ = made(plugins, "maps")
    assert "  # validation: none yet        # {root: FOLDER}, with files of pairs moved there\n" in found.text


def test_a_recipe_of_one_direction_gets_the_first_two_domains(plugins: Plugins) -> None:
    for n, domain in enumerate(("cat", "dog", "owl")):
        write(f"photos/{domain}", 2, first=20 * n, name=domain + "{}.png")
    for name in ("cyclegan.yaml", "cut.yaml", "munit.yaml"):
        found, recipe = made(plugins, name=name, size=32)
        assert recipe["data"]["targets"] == {"cat": "dog"} and "paired" not in recipe["data"]
        assert "# the direction; or {dog: cat}" in found.text


def test_pairs_are_known_inside_splits(plugins: Plugins) -> None:
    for split, count in (("train", 8), ("val", 2)):
        write(f"maps/photo/{split}", count)
        Path(f"maps/lines/{split}").mkdir(parents=True)
        for n in range(count):
            drawing(n).filter(ImageFilter.FIND_EDGES).save(f"maps/lines/{split}/{n}.png")
    found, recipe = made(plugins, "maps")
    assert recipe["method"] == "classics/pix2pix" and recipe["data"]["targets"] == {"lines": "photo"}
    assert recipe["data"]["validation"] == {"domains": {"lines": "lines/val", "photo": "photo/val"}}
    assert "files of one name look like pairs; --paired or --unpaired says so" in found.said


def write_doubles(folder: str, count: int) -> None:
    Path(folder).mkdir(parents=True)
    for n in range(count):
        left, both = drawing(n, (64, 64)), Image.new("RGB", (128, 64))
        both.paste(left, (0, 0))
        both.paste(left.filter(ImageFilter.FIND_EDGES), (64, 0))
        both.save(f"{folder}/{n}.png")


@pytest.mark.parametrize(("folders", "root"), [(("maps/train", "maps/val"), "maps/train"), (("maps",), "maps")])
def test_pairs_side_by_side_get_a_recipe_that_trains(
    i2i: Callable[..., Any], folders: tuple[str, ...], root: str
) -> None:
    for folder in folders:
        write_doubles(folder, 6)
    answer = i2i("init", "--data", "maps", "--steps", 1, "--size", 32)
    assert answer.code == 0
    assert "each file holds a pair: A is its left half, B its right half" in answer.err
    recipe = yaml.safe_load(Path("maps.yaml").read_text())
    assert recipe["method"] == "classics/pix2pix" and recipe["data"]["targets"] == {"A": "B"}
    assert (recipe["data"]["use"], recipe["data"]["root"]) == ("classics/side_by_side", root)
    assert recipe["data"].get("validation") == ({"root": "maps/val"} if len(folders) > 1 else None)
    assert recipe["data"]["fit"] == "stretch" and "the median picture has 64 x 64" in Path("maps.yaml").read_text()
    narrow = ("networks.generator.width=4", "networks.discriminator.width=4")
    sets = [word for text in narrow for word in ("--set", text)]
    assert i2i("train", "--recipe", "maps.yaml", *sets, "--run-dir", "run").code == 0


def test_wide_pictures_are_pairs_only_if_somebody_says_so(plugins: Plugins) -> None:
    for split in ("train", "val"):
        write(f"maps/{split}", 6, size=(128, 64))
    with pytest.raises(DataError, match="their halves differ; if each holds a pair, add --paired, else put"):
        made(plugins, "maps")
    assert made(plugins, "maps", paired=True)[1]["data"]["use"] == "classics/side_by_side"
    with pytest.raises(DataError, match="maps holds pictures of one domain; put those of another one"):
        made(plugins, "maps", paired=False)


def test_pairs_side_by_side_name_the_plugin_that_reads_them(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    write_doubles("maps", 6)
    others = [row for row in plugins.rows if row.name != "classics"]
    monkeypatch.setattr(plugins, "rows", others)
    with pytest.raises(UsageError, match="pip install i2i-gan-classics, and run this again. It will write\ndata:"):
        made(plugins, "maps")


def test_what_a_crop_leaves_out_is_said(plugins: Plugins) -> None:
    write("photos/cat", 3, size=(160, 80), name="c{}.png")
    write("photos/dog", 3, size=(80, 80), name="d{}.png")
    found, recipe = made(plugins)
    assert recipe["data"]["fit"] == "crop"
    said = "the middle; 50% of the width of the median picture of cat is left out"
    assert f"# crop: {said}; or stretch, keep or patch\n" in found.text
    assert f"fit: crop takes {said}; stretch, keep and patch are the others" in found.said


def test_portraits_get_masks_of_faces(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.first_recipe._share_of_faces", lambda *_: 0.9)  # faces are tested where they are found
    write("photos/female", 2, name="f{}.png")
    write("photos/male", 2, first=20, name="m{}.png")
    for fast in (False, True):
        found, recipe = made(plugins, fast=fast)
        assert recipe["tensors"]["masks"] == {"use": "fan_mask/face68", "of": "x_real"}
        assert recipe["networks"]["generator"]["skip"]["use"] == "fan_mask/high_pass"
        assert "90% of 24 pictures show a face, so the skip has masks of faces" in found.said


def test_pictures_without_faces_get_none(plugins: Plugins) -> None:
    write("photos/a", 2, name="a{}.png")
    write("photos/b", 2, first=20, name="b{}.png")
    assert made(plugins)[1]["tensors"]["masks"] == {"use": "fan_mask/everywhere", "of": "x_real"}


def test_lists(plugins: Plugins) -> None:
    write("all", 4)
    rows = [f"all/{n}.png,{'cat' if n % 2 else 'dog'},{'val' if n < 2 else 'train'}" for n in range(4)]
    Path("photos.csv").write_text("\n".join(["path,domain,split", *rows]))
    _, recipe = made(plugins, "photos.csv")
    assert recipe["data"]["file"] == "photos.csv" and recipe["data"]["validation"] == {"split": "val"}


def test_broken_pictures_are_left_out(plugins: Plugins) -> None:
    write("photos/a", 2, name="a{}.png")
    write("photos/b", 2, first=20, name="b{}.png")
    Path("photos/a/broken.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped 1 broken picture"):
        _, recipe = made(plugins)
    assert recipe["data"]["broken"] == "skip"


def test_what_cannot_be_trained_is_refused(plugins: Plugins) -> None:
    with pytest.raises(DataError, match="there is no folder photos"):
        made(plugins)
    write("photos/one", 2)
    with pytest.raises(DataError, match="photos has only the domain one; a translation needs two folders"):
        made(plugins)
    write("photos/two", 2)
    with pytest.raises(UsageError, match="no installed plugin provides the recipe nothing.yaml"):
        made(plugins, name="nothing")
    Path("photos/three").mkdir()
    with pytest.raises(DataError, match="photos/three has no pictures; put the pictures of the domain three there"):
        made(plugins)


def test_the_command_writes_a_recipe_that_fits_in_the_memory(
    i2i: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("photos/a", 2, name="a{}.png")
    write("photos/b", 2, first=20, name="b{}.png")
    answer = i2i("init", "--data", "photos", "--size", 32)
    assert (answer.code, answer.out) == (0, "photos.yaml\n")
    assert "32 x 32 pixels, 1,400 steps, from stargan_v2.yaml" in answer.err
    assert re.search(r"^memory of .+: takes .+ of .+ that are free$", answer.err, re.MULTILINE)
    assert answer.err.endswith("next: i2i train --recipe photos.yaml\n")
    assert i2i("validate", "photos.yaml").code == 0
    again = i2i("init", "--data", "photos")
    assert again.code == 2 and "photos.yaml exists; choose another name with --to" in again.err
    assert i2i("init", "--size", 32, "stargan_v2.yaml").code == 2 and i2i("init").code == 2


def test_too_little_memory_changes_the_recipe(i2i: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i_cli.memory_advice import Forecast

    write("photos/a", 2, name="a{}.png")
    write("photos/b", 2, first=20, name="b{}.png")
    monkeypatch.setattr(Forecast, "_predicted", lambda self, switches: 1000 if not switches else 500)
    monkeypatch.setattr("i2i_cli.memory_advice.peak_of_process", lambda: 0)
    monkeypatch.setattr("i2i_cli.memory_advice.free_memory", lambda: 800)
    answer = i2i("init", "--data", "photos")
    assert answer.code == 0
    assert yaml.safe_load(Path("photos.yaml").read_text())["data"]["gradient_accumulation"] == 2


def test_a_recipe_that_cannot_be_used_is_not_left_behind(i2i: Callable[..., Any]) -> None:
    write("photos/a", 2, name="a{}.png")
    write("photos/b", 2, first=20, name="b{}.png")
    answer = i2i("init", "spade.yaml", "--data", "photos")  # which needs label maps and pairs
    assert answer.code == 2 and not Path("photos.yaml").exists()
    todo = "copy it with i2i init spade.yaml, and describe your data in the copy"
    assert answer.err.startswith(f"spade.yaml cannot be made to fit photos, as below; {todo}\nphotos.yaml:")
