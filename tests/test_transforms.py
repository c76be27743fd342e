"""Transforms of torchvision change all fields of a record alike, by the number of the sample alone."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from i2i_core.data.batches import Samples, loader, to_device
from i2i_core.data.cache import cached
from i2i_core.data.fitting import Layout
from i2i_core.data.formats.labels import Labels, Mask
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Grey, Picture
from i2i_core.data.formats.raster import Raster
from i2i_core.data.sets import SampledRecords, directions, layouts
from i2i_core.data.transforms import Transforms, transforms_of
from i2i_core.errors import PluginError, RecipeError
from i2i_core.interfaces import Format
from i2i_core.plan.resolved import dump, resolve
from i2i_core.recipe.sections import Augment, Data

SIDE = 16
STILL = Augment(crop=0, flip=0)


class Patterns:
    """Pairs of one pattern in every format: the level of a pixel is 15 times its id, and 100 times its height."""

    paired = True
    domains = ("photo", "sketch")
    formats: Mapping[str, Format] = {"sketch": Grey()}
    sizes: Mapping[str, Any] = {}
    fields: Mapping[str, Format] = {
        "ids": Labels(classes=17, ignore=255, one_hot=False),
        "hole": Mask(),
        "height": Raster(channels=2, range=(100.0, 1800.0)),
        "given": Numbers(names=("age",)),
    }

    def count(self, domain: int) -> int:
        return 3

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> dict[str, Any]:
        ids = np.random.default_rng(index).integers(1, 17, (SIDE, SIDE)).astype(np.uint8)
        levels = Image.fromarray(ids * 15)
        return {
            "x": levels if domain else levels.convert("RGB"),
            "ids": Image.fromarray(ids),
            "hole": Image.fromarray((ids > 8).astype(np.uint8) * 255),
            "height": np.stack([ids * 100.0] * 2, axis=2),
            "given": {"age": 0.25},
        }

    def fingerprint(self) -> str:
        return "patterns"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


def v2(name: str, **keys: Any) -> Any:
    from torchvision.transforms import v2

    return getattr(v2, name)(**keys)


def samples(*made: Any, wanted: Collection[str] | None = None, **keys: Any) -> Samples:
    data = Data(use="patterns", image_size=SIDE, batch_size=4, targets={"photo": ["sketch"]}, augment=STILL)
    fields = ("x", *Patterns.fields)
    names = wanted or [f"{field}_{role}" for field in fields for role in ("real", "pair")] + ["x_ref"]
    return Samples(SampledRecords(Patterns(), (SIDE, SIDE)), names, data, 5, transforms=Transforms(made), **keys)


def test_all_fields_of_a_record_and_its_pair_move_alike() -> None:
    moved = samples(v2("RandomAffine", degrees=40, translate=[0.2, 0.1], scale=[0.8, 1.2], shear=5))
    for number in range(4):
        sample: Any = moved[number]
        ids, levels = sample["ids_real"].long(), sample["x_real"][:1].long()
        outside = ids == 255
        assert 0 < outside.sum() < outside.numel() / 2
        assert levels.equal(torch.where(outside, 0, 15 * ids))
        assert sample["x_pair"].equal(sample["x_real"][:1])
        assert sample["ids_pair"].equal(sample["ids_real"])
        assert sample["hole_real"].long().equal(((ids > 8) & ~outside).long())
        height = torch.where(outside, 100.0, 100.0 * ids)  # outside of measurements lies their least
        assert torch.allclose(sample["height_real"], height.expand(2, -1, -1), atol=1e-2)
        assert sample["given_real"].equal(samples()[number]["given_real"])  # type: ignore[union-attr]
        assert {name: value.dtype for name, value in sample.items()} == {
            name: value.dtype
            for name, value in samples()[number].items()  # type: ignore[union-attr]
        }


def test_colours_change_in_pictures_alone_and_alike_in_pairs() -> None:
    wanted = ("x_real", "ids_real", "hole_real", "x_pair")
    one, before = samples(v2("RandomInvert", p=1), wanted=wanted)[1], samples(wanted=wanted)[1]
    assert torch.equal(one["x_real"], 255 - before["x_real"])  # type: ignore[arg-type, operator]
    assert torch.equal(one["x_pair"], 255 - before["x_pair"])  # type: ignore[arg-type, operator]
    assert all(torch.equal(one[name], before[name]) for name in ("ids_real", "hole_real"))  # type: ignore[arg-type]
    bright = samples(v2("ColorJitter", brightness=0.5), wanted=("x_real", "x_pair"))
    for number in range(3):
        sample: Any = bright[number]
        assert (sample["x_real"][:1].int() - sample["x_pair"].int()).abs().max() <= 1


def test_a_sample_is_a_function_of_its_number_alone() -> None:
    made = (v2("RandomApply", transforms=[v2("RandomRotation", degrees=45)], p=0.5), v2("GaussianBlur", kernel_size=3))
    of = samples(*made, wanted=("x_real", "x_ref"))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = [of[number] for number in range(6)]
    assert torch.get_rng_state().equal(before)
    torch.rand(7)
    again = [pickle.loads(pickle.dumps(of))[number] for number in reversed(range(6))][::-1]
    assert all(one[name].equal(other[name]) for one, other in zip(first, again, strict=True) for name in one)
    later = samples(*made, wanted=("x_real", "x_ref", "ids_real"))[2]
    assert torch.equal(first[2]["x_ref"], later["x_ref"])  # type: ignore[arg-type]

    def batches(start: int, rank: int, world: int, workers: int) -> list[Mapping[str, Tensor]]:
        keys = {"start": start, "steps": 2, "batch_size": 4, "rank": rank, "world": world, "workers": workers}
        return list(loader(of, **keys))

    whole = batches(0, 0, 1, 0)
    assert whole[1]["x_real"].equal(batches(1, 0, 1, 1)[0]["x_real"])  # resumed, with a data worker
    halves = torch.cat([batches(1, rank, 2, 0)[0]["x_real"] for rank in (0, 1)])
    assert halves.equal(whole[1]["x_real"])


def test_pictures_of_a_cache_are_changed_as_decoded_ones_are() -> None:
    rotation = v2("RandomRotation", degrees=30)
    wanted = ("x_real", "ids_real", "given_real")
    plain = samples(rotation, wanted=wanted)
    with pytest.warns(UserWarning, match="decoding"):
        cache = cached(plain.records, (SIDE, SIDE), ("x", "ids", "given"))
    kept = samples(rotation, wanted=wanted, cache=cache)
    found = layouts(plain.records, directions({"photo": ["sketch"]}, Patterns.domains))
    batches = [list(loader(of, start=0, steps=2, batch_size=4, rank=0, world=1, workers=0)) for of in (plain, kept)]
    for one, other in zip(*batches, strict=True):
        assert one.keys() == other.keys()
        encoded = [to_device(of, found, torch.device("cpu"), torch.float32) for of in (one, other)]
        assert all(encoded[0][name].equal(encoded[1][name]) for name in wanted)


def test_pairs_of_two_sizes_get_the_same_numbers() -> None:
    change = Transforms([v2("RandomHorizontalFlip", p=0.5), v2("ColorJitter", brightness=0.5)])
    small, large = torch.full((3, 4, 4), 100, dtype=torch.uint8), torch.full((3, 8, 8), 100, dtype=torch.uint8)
    small[:, :, 0] = large[:, :, :2] = 50
    for seed in range(4):
        found = change({"a": small, "b": large}, {"a": Picture(), "b": Picture()}, seed)
        assert found["a"].equal(found["b"][:, ::2, ::2])


# Recipes

AUGMENT = "data.augment.also"


@pytest.mark.parametrize(
    ("also", "said"),
    [
        ("ColorJiter", "there is no transform called ColorJiter (did you mean ColorJitter?)"),
        ("{use: ColorJitter, brigtness: 1}", "transform ColorJitter has no key brigtness (did you mean brightness?)"),
        ("GaussianBlur", "transform GaussianBlur needs the key kernel_size"),
        ("{use: RandomErasing, p: often}", "p should be a number, not 'often'"),
        ("{use: RandomApply, transforms: [Solarise]}", "there is no transform called Solarise"),
        ("{use: RandomApply, transforms: [{use: RandomInvert, q: 1}]}", "transform RandomInvert has no key q"),
        ("{use: Lambda, lambd: print}", "lambd should be callable, not 'print'"),
    ],
)
def test_a_wrong_transform_is_a_mistake_at_its_place(mistakes: Any, also: str, said: str) -> None:
    found = mistakes(("image_size: 8,", f"image_size: 8, augment: {{also: [RandomInvert, {also}]}},"))
    assert len(found) == 1
    assert found[0].startswith("tiny.yaml:5:") and said in found[0]


@pytest.mark.parametrize(
    ("also", "said"),
    [
        ("{use: GaussianBlur, kernel_size: 2}", "transform GaussianBlur: Kernel size value should be an odd"),
        ("{use: Resize, size: 4}", "it makes x_real 3x4x4 (channels, height, width), and it has to stay 3x8x8"),
        ("{use: Grayscale}", "it makes x_real 1x8x8"),
        ("ConvertImageDtype", "transform ConvertImageDtype: it changes the type of x_real"),
        ("ToPILImage", "transform ToPILImage: it changes the type of x_real"),
        ("MixUp", "transform MixUp: it needs more than a picture, such as a batch with labels, or boxes"),
        (
            "{use: RandomApply, p: 1e-9, transforms: [{use: Resize, size: 4}]}",
            "transform RandomApply: it makes x_real 3x",
        ),
        ("{use: RandomChoice, p: [1, 1e-9], transforms: [Identity, {use: Resize, size: 4}]}", "it makes x_real 3x4x4"),
    ],
)
def test_a_transform_that_does_not_suit_the_pictures_is_refused(check: Any, also: str, said: str) -> None:
    checked = check(("image_size: 8,", f"image_size: 8, augment: {{also: [RandomInvert, {also}]}},"))
    with pytest.raises(RecipeError) as error:
        transforms_of(checked, {"x_real": Layout(Picture(), (8, 8))}, {"x_real"})
    (problem,) = error.value.problems
    assert said in str(problem)


def test_colours_of_measurements_are_refused(check: Any) -> None:
    bands = {"x_real": Layout(Raster(channels=13, range=(0, 10000)), (8, 8))}
    also = "[{use: RandomRotation, degrees: 9}, {use: RandomApply, transforms: [{use: ColorJitter, hue: 0.1}]}]"
    checked = check(("image_size: 8,", f"image_size: 8, augment: {{also: {also}}},"))
    with pytest.raises(RecipeError, match="RandomApply: ColorJitter is for colours, and x_real has measurements"):
        transforms_of(checked, bands, {"x_real"})
    assert transforms_of(checked, bands, {"y_org"}) is not None


def test_the_fill_is_for_pictures_and_the_resolved_recipe_is_the_recipe(check: Any) -> None:
    also = "[{use: RandomRotation, degrees: [90, 90], expand: false, fill: 255}, RandomGrayscale]"
    checked = check(("image_size: 8,", f"image_size: 8, augment: {{also: {also}}},"))
    made = transforms_of(checked, {"x_real": Layout(Picture(), (8, 6))}, {"x_real"})
    assert made is not None
    forms = {"x": Picture(), "ids": Labels(classes=3)}
    value = {"x": torch.ones(3, 8, 6, dtype=torch.uint8), "ids": torch.ones(1, 8, 6, dtype=torch.uint8)}
    found = made(value, forms, 0)
    assert {int(n) for n in found["x"].unique()} == {1, 255}
    assert {int(n) for n in found["ids"].unique()} == {0, 1}
    resolved = resolve(checked)["data"]["augment"]["also"]
    assert [one["use"] for one in resolved] == ["RandomRotation", "RandomGrayscale"]
    assert (resolved[0]["interpolation"], resolved[0]["degrees"], resolved[1]["p"]) == ("nearest", [90, 90], 0.1)
    assert '"use": "RandomGrayscale", "p": 0.1' in dump(checked)


def test_without_torchvision_the_extra_is_named(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i_core.registry import transforms

    monkeypatch.setattr(transforms, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r'pip install "i2i-gan\[torchvision\]"'):
        check(("image_size: 8,", "image_size: 8, augment: {also: [RandomInvert]},"))


def test_a_training_with_transforms_resumes_from_its_own_recipe(i2i: Any, toy: tuple[str, str]) -> None:
    also = "[{use: RandomRotation, degrees: 20}, {use: RandomApply, transforms: [RandomInvert], p: 0.5}]"
    fake = "use: torchvision/dataset, name: FakeData, arguments: {size: 8, image_size: [3, 16, 16], num_classes: 2}"
    data = ("--set", f"data={{{fake}, image_size: 16, batch_size: 2, augment: {{also: {also}}}}}")
    cut = i2i("train", "--recipe", "toy.yaml", *toy, *data, "--set", "steps=2")
    assert cut.code == 0, cut.err
    more = i2i("train", "--run-dir", "runs/toy-001", "--resume", *toy, "--set", "steps=3")
    assert more.code == 0, more.err
    whole = i2i("train", "--recipe", "toy.yaml", *toy, *data, "--set", "steps=3")
    assert whole.code == 0, whole.err
    ends = [Path(f"runs/toy-00{number}/checkpoints/step-00000003/networks/recolour.safetensors") for number in (1, 2)]
    assert ends[0].read_bytes() == ends[1].read_bytes()
    wrong = i2i("validate", "toy.yaml", *toy, "--set", f"{AUGMENT}=[{{use: Resize, size: 4}}]")
    assert (wrong.code, "it makes x_real 3x4x4" in wrong.err) == (2, True)
