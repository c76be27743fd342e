"""A sample depends on nothing but the seed and its number, whoever loads it."""

from __future__ import annotations

import _thread
import multiprocessing
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_core.data.batches import Samples, draw_crop, loader, to_device
from i2i_core.data.fitting import Layout
from i2i_core.data.formats.picture import Picture
from i2i_core.data.sets import SampledRecords
from i2i_core.interfaces import WHOLE
from i2i_core.recipe.sections import Augment, Data

from .runs import train

PLAIN = Augment(crop=0, flip=0)


class Toy:
    """Pairs of pictures of one colour per domain (red) and index (green), dark in their left half."""

    paired = True

    def __init__(self, *counts: int) -> None:
        self.counts, self.domains = counts, tuple(f"d{y}" for y in range(len(counts)))

    def count(self, domain: int) -> int:
        return self.counts[domain]

    def picture(self, domain: int, index: int) -> Image.Image:
        made = Image.new("RGB", (20, 30), (20 * domain, 10 * index, 255))
        made.paste((20 * domain, 10 * index, 0), (0, 0, 10, 30))
        return made


ALL = ("x_real", "y_org", "y_trg", "x_ref", "x_ref2", "x_pair")


def batches(
    toy: Toy,
    steps: int = 3,
    batch_size: int = 4,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    wanted: tuple[str, ...] = ALL,
    seed: int = 0,
    **data: Any,
) -> dict[str, torch.Tensor]:
    records = SampledRecords(toy, (16, 24))
    samples = Samples(records, wanted, Data(use="toy", image_size=(16, 24), batch_size=batch_size, **data), seed)
    found = list(
        loader(samples, start=start, steps=steps, batch_size=batch_size, rank=rank, world=world, workers=workers)
    )
    return {name: torch.cat([batch[name] for batch in found]) for name in found[0]}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def test_fields_have_the_shape_of_a_recipe_that_is_not_square() -> None:
    found = batches(Toy(5, 5))
    assert found.keys() == set(ALL)
    for name in ALL:
        assert found[name].shape == ((12, 3, 16, 24) if name.startswith("x_") else (12,))
        assert found[name].dtype == (torch.uint8 if name.startswith("x_") else torch.int64)


def test_a_recipe_that_is_not_square_trains_and_draws(tmp_path: Path) -> None:
    train(tmp_path / "run", "data.image_size=[32, 64]", "steps=1", "hooks.reference=null")
    with Image.open(tmp_path / "run" / "samples" / "step-00000001-latent.png") as drawn:
        left, above = drawn.width - (2 * 66 + 2), drawn.height - (3 * 34 + 2)
        assert 0 < left < 66 and 0 < above < 66  # the names of domains


def test_samples_depend_on_nothing_but_the_seed_and_their_number() -> None:
    toy = Toy(7, 5, 6)
    whole = batches(toy, steps=6)
    assert same(whole, batches(toy, steps=6))
    assert same(whole, batches(toy, steps=6, workers=2))
    assert same(whole, batches(toy, steps=3, batch_size=8))
    assert same({n: t[8:] for n, t in whole.items()}, batches(toy, start=2, steps=6, workers=1))
    shares = [batches(toy, steps=6, rank=rank, world=2, workers=2 * rank) for rank in range(2)]
    together = {n: torch.stack([s[n].unflatten(0, (6, 2)) for s in shares], dim=1).flatten(0, 2) for n in whole}
    assert same(whole, together)
    fewer = batches(toy, steps=6, wanted=("x_ref2", "y_trg"))
    assert same(fewer, {n: whole[n] for n in ("y_trg", "x_ref2")}), "fields that no one wants change those wanted"
    assert not same(whole, batches(toy, steps=6, seed=1))


class Slow(Toy):
    def picture(self, domain: int, index: int) -> Image.Image:
        time.sleep(1)
        return super().picture(domain, index)


def test_data_workers_end_when_someone_does_not_want_to_wait_for_them() -> None:
    """And not a minute later, though the error is kept, with all that it happened in."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.5, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt) as kept:
            batches(Slow(1, 1), batch_size=1, wanted=("x_real",), workers=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert multiprocessing.active_children() == [], kept


def test_domains_are_equally_likely_however_many_pictures_they_have() -> None:
    found = batches(Toy(3, 300, 30), steps=1, batch_size=3000, wanted=("y_org", "y_trg"))
    for name in ("y_org", "y_trg"):
        counts = found[name].bincount(minlength=3)
        assert float(((counts - 1000) ** 2 / 1000).sum()) < 13.8  # chi-square, 2 degrees of freedom, p = 0.001
    pairs = Counter(zip(found["y_org"].tolist(), found["y_trg"].tolist(), strict=True))
    assert sum((n - 3000 / 9) ** 2 / (3000 / 9) for n in pairs.values()) < 26.1  # 8 degrees: they are independent
    assert len(pairs) == 9


def test_pictures_may_be_translated_into_other_domains_only() -> None:
    found = batches(Toy(3, 300, 30), steps=1, batch_size=3000, wanted=("y_org", "y_trg"), targets="others")
    pairs = Counter(zip(found["y_org"].tolist(), found["y_trg"].tolist(), strict=True))
    assert set(pairs) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert sum((n - 500) ** 2 / 500 for n in pairs.values()) < 20.5  # chi-square, 5 degrees of freedom, p = 0.001


def test_a_recipe_may_name_the_directions() -> None:
    named = {"d0": ["d1"], "d2": ["d0", "d1"]}
    found = batches(Toy(3, 300, 30), steps=1, batch_size=3000, wanted=("y_org", "y_trg"), targets=named)
    pairs = Counter(zip(found["y_org"].tolist(), found["y_trg"].tolist(), strict=True))
    assert set(pairs) == {(0, 1), (2, 0), (2, 1)}
    assert abs(pairs[0, 1] - 1500) < 110  # four standard deviations
    assert abs(pairs[2, 0] - 750) < 100
    (pair,) = set(zip(*(batches(Toy(3, 3), targets={"d1": "d0"})[y].tolist() for y in ("y_org", "y_trg")), strict=True))
    assert pair == (1, 0)


def test_pictures_are_of_the_domains_that_y_names_and_each_is_drawn() -> None:
    found = batches(Toy(4, 8, 6), steps=1, batch_size=600, augment=PLAIN)
    domain, index = (found["x_real"][:, channel, 0, 0] for channel in (0, 1))
    assert domain.equal((20 * found["y_org"]).to(torch.uint8))
    for name in ("x_ref", "x_ref2", "x_pair"):
        assert found[name][:, 0, 0, 0].equal((20 * found["y_trg"]).to(torch.uint8))
    assert found["x_pair"][:, 1, 0, 0].equal(index), "the pair shows the same thing"
    seen = {(int(d) // 20, int(i) // 10) for d, i in zip(domain, index, strict=True)}
    assert seen == {(d, i) for d, count in enumerate((4, 8, 6)) for i in range(count)}
    assert (found["x_ref"][:, 1, 0, 0] != found["x_ref2"][:, 1, 0, 0]).float().mean() > 0.5


def test_a_pair_is_cropped_and_mirrored_like_its_source() -> None:
    found = batches(Toy(4, 4), steps=1, batch_size=64, augment=Augment(crop=1, scale=(0.2, 0.5), flip=0.5))
    assert found["x_real"][:, 2].equal(found["x_pair"][:, 2])
    assert not found["x_real"][:, 2].equal(found["x_ref"][:, 2])
    assert len({tuple(row.flatten().tolist()) for row in found["x_real"][:, 2]}) > 20


def test_pictures_are_mirrored_only_if_asked() -> None:
    for flip, dark_left in ((0.0, 1.0), (1.0, 0.0)):
        found = batches(Toy(4, 4), steps=1, batch_size=64, augment=Augment(flip=flip, scale=(0.9, 1.0)))
        left, right = (found["x_real"][:, 2, :, side].float().mean(dim=1) for side in (0, -1))
        assert float((left < right).float().mean()) == dark_left
    found = batches(Toy(4, 4), steps=1, batch_size=400)
    assert 0.4 < float((found["x_real"][:, 2, 0, 0] == 0).float().mean()) < 0.6


@pytest.mark.parametrize("aspect", [1.0, 2 / 3])
def test_crops_stay_within_the_ranges_of_the_recipe(aspect: float) -> None:
    """aspect 2/3: a picture of 20 x 30, where the share of its area and the crop's own aspect ratio are meant."""
    augment = Augment(crop=0.5, scale=(0.3, 0.6), ratio=(0.9, 1.1), flip=0.3)
    crops = [draw_crop(augment, np.random.default_rng(number), aspect) for number in range(2000)]
    cropped = [box for box, _ in crops if box != WHOLE]
    assert 0.45 < len(cropped) / len(crops) < 0.55
    assert 0.25 < sum(flip for _, flip in crops) / len(crops) < 0.35
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in cropped]
    ratios = [(right - left) / (bottom - top) * aspect for left, top, right, bottom in cropped]
    assert all(0 <= left < right <= 1 + 1e-9 and 0 <= top < bottom <= 1 + 1e-9 for left, top, right, bottom in cropped)
    assert (0.3 <= min(areas) < 0.31, 0.59 < max(areas) <= 0.6 + 1e-9) == (True, True)
    assert (0.9 - 1e-9 <= min(ratios) < 0.91, 1.09 < max(ratios) <= 1.1 + 1e-9) == (True, True)


def test_pixels_become_numbers_from_minus_one_to_one() -> None:
    picture = Image.new("RGB", (4, 4), (0, 255, 51))
    fitted, layout = Picture().fit(picture, (4, 4)), Layout(Picture(), (4, 4))
    found = to_device({"x": fitted[None]}, {"x": layout}, torch.device("cpu"), torch.float64)
    assert found["x"][0, :, 0, 0].tolist() == pytest.approx([-1.0, 1.0, -0.6])
