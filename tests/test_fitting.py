"""Pictures of any size come to the size of the networks in training as in all uses of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import load
from i2i_core.data.batches import Samples, loader, to_device
from i2i_core.data.cache import cached
from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.fitting import Layout, PixelBox, Seen, fit, padded, part_of, seen, unlike_training
from i2i_core.data.formats.labels import Labels
from i2i_core.data.formats.picture import Picture
from i2i_core.data.sets import SampledRecords
from i2i_core.models.batch_norms import separate_pictures, uses_batch_statistics
from i2i_core.recipe.sections import Augment, Data, Fit

from .runs import train

WIDE = (96, 32)
"""Width and height of pictures that are three times as wide as high."""
EVERY: tuple[Fit, ...] = ("stretch", "crop", "keep", "patch")


def ramp(number: int = 0) -> Image.Image:
    """A wide picture: red from left to right, green from top to bottom, and blue its number."""
    x, y = np.meshgrid(np.linspace(0, 255, WIDE[0]), np.linspace(0, 255, WIDE[1]))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 40 * number)], 2).round().astype(np.uint8))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for domain in ("a", "b"):
        (tmp_path / "data" / domain).mkdir(parents=True)
        for n in range(3):
            ramp(n).save(tmp_path / "data" / domain / f"{n}.png")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("how", "box", "black"),
    [("stretch", (0, 0, 32, 32), 8), ("crop", (0, 0, 32, 32), 0), ("keep", (0, 8, 32, 24), 8),
     ("patch", (0, 0, 32, 32), 0)],
)  # fmt: skip
def test_a_wide_picture_is_stretched_cropped_kept_whole_or_cut(how: Fit, box: PixelBox, black: int) -> None:
    wide = Image.new("RGB", (200, 100), "white")
    wide.paste("black", (0, 0, 50, 100))  # its left quarter
    x, found = fit(wide, Layout(Picture(), (32, 32), how))
    assert (x.shape, found) == ((3, 32, 32), box)
    assert (x[0, 16] < 128).sum() == black
    if how == "keep":
        assert torch.equal(x[:, :8], x[:, 8:16].flip(1)), "mirrored above the picture"


def test_padding_mirrors_as_often_as_needed_as_numpy_does() -> None:
    x = torch.arange(6).reshape(1, 2, 3)
    found, box = padded(x, (9, 16))
    assert box == (6, 3, 9, 5)
    assert np.array_equal(found.numpy(), np.pad(x.numpy(), ((0, 0), (3, 4), (6, 7)), mode="symmetric"))


def test_a_small_picture_is_padded_for_a_patch_and_not_enlarged() -> None:
    x, box = fit(ramp().crop((0, 0, 20, 32)), Layout(Picture(), (32, 32), "patch"))
    assert box == (6, 0, 26, 32)
    assert np.array_equal(x[:, :, 6:26].permute(1, 2, 0).numpy(), np.asarray(ramp())[:, :20])


def test_ids_of_labels_are_padded_and_not_mixed() -> None:
    form = Labels(classes=3)
    ids = form.converted(Image.fromarray(np.tile(np.array([0, 2, 1], np.uint8).repeat(10), (10, 1))))
    x, _ = fit(ids, Layout(form, (30, 30), "keep"))
    assert x.shape[-2:] == (30, 30) and set(x.unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("how", EVERY)
@pytest.mark.parametrize("size", [(32, 32), (16, 24)])
def test_training_and_grids_see_what_a_translation_sees(folders: Path, how: Fit, size: tuple[int, int]) -> None:
    records = SampledRecords(ImageFolders(root=folders), size, how)
    data = Data(use="", image_size=size, batch_size=8, fit=how, augment=Augment(crop=0, flip=0))
    (batch,) = loader(
        Samples(records, ("x_real",), data, 0), start=0, steps=1, batch_size=8, rank=0, world=1, workers=0
    )
    expected = [fit(ramp(n), records.layout(0))[0] for n in range(3)]
    if how == "patch":
        places = [_place(x, size) for x in batch["x_real"].permute(0, 2, 3, 1).numpy()]
        assert None not in places and len({*places}) > 4, "parts at random places, not resized"
    else:
        assert all(any(x.equal(other) for other in expected) for x in batch["x_real"])
    grid = records.batch(0, [0, 1, 2])["x"]
    assert grid.equal(Picture().encode(torch.stack(expected), torch.float32))


def _place(x: Any, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the left and top of the part of the ramp that is shown."""
    whole, (height, width) = np.asarray(ramp())[..., :2], size
    places = [(left, top) for left in range(97 - width) for top in range(33 - height)]
    return next(
        ((left, top) for left, top in places if (x[..., :2] == whole[top : top + height, left : left + width]).all()),
        None,
    )


@pytest.mark.filterwarnings("ignore:decoding pictures")
@pytest.mark.parametrize("how", ["stretch", "crop", "keep"])
def test_a_cache_gives_nearly_the_same_pictures(folders: Path, how: Fit) -> None:
    records = SampledRecords(ImageFolders(root=folders), (32, 32), how)
    data = Data(use="", image_size=(32, 32), batch_size=16, fit=how, augment=Augment(crop=0.5))
    layouts = {"x_real": records.layout(0)}
    both = []
    for cache in (None, cached(records, (96, 96))):
        samples = Samples(records, ("x_real",), data, 0, cache)
        (batch,) = loader(samples, start=0, steps=1, batch_size=16, rank=0, world=1, workers=0)
        both.append(to_device(batch, layouts, torch.device("cpu"), torch.float32)["x_real"])
    assert (both[0] - both[1]).abs().mean() < 0.02


@pytest.mark.parametrize("how", EVERY)
def test_a_part_lies_inside_a_picture_of_any_size(how: Fit) -> None:
    """Also after rounding: Pillow refuses a box that begins 1e-16 before the picture."""
    for extent in ((height, width) for height in range(30, 90) for width in range(30, 90)):
        (left, top, right, bottom), _ = part_of(extent, Layout(Picture(), (32, 32), how))
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1, extent


def test_a_random_crop_has_the_fit_of_the_picture(folders: Path) -> None:
    """A circle stays round with `crop` and `keep`: red and green change at equal rates where they did."""
    for how in ("crop", "keep"):
        records = SampledRecords(ImageFolders(root=folders), (32, 32), how)
        data = Data(use="", image_size=(32, 32), batch_size=16, augment=Augment(crop=1, flip=0, ratio=(0.9, 1.1)))
        samples = Samples(records, ("x_real",), data, 0)
        for n in range(8):
            x = samples[n]["x_real"]
            assert isinstance(x, torch.Tensor)
            inner = x[:, 12:20, 12:20].float()
            down, right = inner[1].diff(dim=0).abs().mean(), inner[0].diff(dim=1).abs().mean()
            assert float(right / down) == pytest.approx(WIDE[1] / WIDE[0], rel=0.35), how


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on wide pictures that are kept whole."""
    root = tmp_path_factory.mktemp("wide")
    for domain in ("a", "b"):
        (root / domain).mkdir()
        for n in range(3):
            ramp(n).save(root / domain / f"{n}.png")
    data = f"data={{use: image_folders, root: {root}, image_size: 32, batch_size: 1, fit: keep, augment: {{crop: 0}}}}"
    run = train(tmp_path_factory.mktemp("runs") / "wide", data, "steps=1")
    return Path(run.folder or "")


def test_a_model_records_the_fit_and_the_pictures_of_training(life: Path) -> None:
    model = load(life, device="cpu")
    layout = model.main_use.source
    assert layout.fit == "keep"
    assert layout.seen == Seen((3.0, 3.0), (32, 32))
    assert model(ramp(), domain="b").size == (32, 11), "as in training, without its padding"
    assert model(ramp(), domain="b", fit_by="stretch").size == (32, 32)
    source = model.sources([ramp()])
    assert source.x[0].equal(layout.format.encode(fit(ramp(), layout)[0], torch.float32))
    assert model.reference_sources(ramp(), "reference").x.equal(source.x)


def test_a_picture_unlike_those_of_training_is_named(life: Path, i2i: Callable[..., Any], tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "square.png")
    ramp().save(tmp_path / "wide.png")
    answer = i2i("translate", life, tmp_path / "square.png", tmp_path / "wide.png", "--out", tmp_path / "out")
    assert answer.code == 0
    assert (
        f"warning: {tmp_path / 'square.png'} is unlike the pictures that the model was trained on: its width is 1 of "
        f"its height, and 3 in training; results may be worse" in answer.err
    )
    assert "wide.png" not in answer.err
    chosen = ("--out", tmp_path / "out2", "--fit", "crop")
    assert "unlike" not in i2i("translate", life, tmp_path / "square.png", *chosen).err


@pytest.mark.parametrize(
    ("size", "how", "said"),
    [
        ((64, 64), "stretch", ""),
        ((80, 64), "stretch", ""),
        ((200, 64), "stretch", "its width is 3.1 of its height, and 0.9 to 1.1 in training"),
        ((200, 64), "patch", ""),
        ((20, 20), "keep", "its shorter side has 20 pixels, and at least 64 in training"),
        ((40, 40), "keep", ""),
    ],
)
def test_pictures_far_from_training(size: tuple[int, int], how: Fit, said: str) -> None:
    layout = Layout(Picture(), (48, 48), how, Seen((0.9, 1.1), (64, 128)))
    assert unlike_training(Image.new("RGB", size), layout) == said


def test_the_most_extreme_pictures_do_not_count() -> None:
    assert seen([(100, 100)] * 999 + [(10, 1000)]) == Seen((1.0, 1.0), (100, 100))
    assert seen([]) is None


def test_batch_norms_of_the_current_batch_treat_each_picture_alone() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).double().eval()
    nn.init.normal_(network[1].weight)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    alone = torch.cat([network(one[None]) for one in x])
    assert uses_batch_statistics(network)
    separate_pictures(network)
    assert not uses_batch_statistics(network)
    assert torch.allclose(network(x), alone, rtol=0, atol=1e-12)
    assert [*network.state_dict()] == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_batch_norms_with_running_statistics_stay() -> None:
    network = nn.Sequential(nn.BatchNorm2d(4))
    separate_pictures(network)
    assert not uses_batch_statistics(network) and isinstance(network[0], nn.BatchNorm2d)


def test_pairs_side_by_side_are_translated_by_their_half(
    i2i: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model knows which half was its source, so the test pictures of such a data set can be translated."""
    monkeypatch.chdir(tmp_path)
    Path("both").mkdir()
    for n in range(2):
        ramp(n).resize((128, 64)).save(f"both/{n}.png")
    data = "data={use: classics/side_by_side, root: both, domains: [A, B], image_size: 64, batch_size: 1, targets: %s}"
    sets = ("steps=1", "networks.generator.width=4", "networks.discriminator.width=4", "hooks.true_pairs=null")
    for target, sides in (("{A: B}", (0, 64)), ("{B: A}", (64, 128))):
        train(Path(target), data % target, *sets, recipe="pix2pix.yaml")
        Image.open("both/0.png").crop((sides[0], 0, sides[1], 64)).save("alone.png")
        answer = i2i("translate", target, "both/0.png", "alone.png", "--out", f"out {target}")
        assert (answer.code, answer.err) == (0, "")
        both, alone = (Image.open(path) for path in sorted(Path(f"out {target}").iterdir(), reverse=False))
        assert both.tobytes() == alone.tobytes()
