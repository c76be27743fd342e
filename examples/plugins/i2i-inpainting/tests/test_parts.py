"""The parts: holes, patches, the loss, the measurement, and networks of the paper's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_core.data.formats.labels import Labels, Mask
from i2i_core.errors import DataError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run
from i2i_inpainting.hole_error import absolute_error, baselines
from i2i_inpainting.holes import Holes
from i2i_inpainting.losses import hole_mse
from i2i_inpainting.networks import CompletionNetwork, ContextDiscriminator
from i2i_inpainting.patches import patch


class Grey:
    """Two pictures of one domain."""

    domains, paired = ("photos",), False

    def count(self, domain: int) -> int:
        return 2

    def picture(self, domain: int, index: int) -> Image.Image:
        return Image.new("RGB", (20, 10), (100 * index,) * 3)


class Labelled(Grey):
    """Two pictures with label maps, of a size of their own."""

    fields = {"labels": Labels(classes=3)}
    formats: dict[str, Any] = {}
    sizes = {"photos": (8, 16)}

    def record(self, domain: int, index: int, wanted: Any, rng: np.random.Generator) -> dict[str, Any]:
        return {"x": self.picture(domain, index), "labels": Image.new("L", (20, 10), int(rng.integers(3)))}


def drawn(holes: Holes, seed: int = 0, wanted: tuple[str, ...] = ("hole",)) -> dict[str, Any]:
    return holes.record(0, 1, wanted, np.random.default_rng(seed))


def test_holes_are_rectangles_of_the_sizes_that_the_recipe_says_and_anywhere() -> None:
    holes = Holes(image_size=(40, 20), photos=Grey(), size=(0.3, 0.5))
    rows, columns, everywhere = set(), set(), np.zeros((40, 20), bool)
    for seed in range(3000):
        mask = np.asarray(drawn(holes, seed)["hole"]) > 0
        height, width = int(mask.any(1).sum()), int(mask.any(0).sum())
        assert mask.sum() == height * width
        rows.add(height), columns.add(width)
        everywhere |= mask
    assert (rows, columns) == ({*range(12, 21)}, {*range(6, 11)})
    assert everywhere.all()


def test_a_hole_is_a_function_of_the_random_numbers_that_the_record_is_handed() -> None:
    holes = Holes(image_size=(16, 16), photos=Grey())
    assert drawn(holes)["hole"].tobytes() == drawn(holes)["hole"].tobytes()
    assert drawn(holes)["hole"].tobytes() == drawn(holes, wanted=("x", "hole"))["hole"].tobytes()
    assert drawn(holes)["hole"].tobytes() != drawn(holes, seed=1)["hole"].tobytes()


def test_fields_formats_and_sizes_of_the_photos_are_kept() -> None:
    holes = Holes(image_size=(32, 32), photos=Labelled())
    assert holes.fields == {"labels": Labels(classes=3), "hole": Mask()}
    found = drawn(holes, wanted=("x", "labels", "hole"))
    assert found.keys() == {"x", "labels", "hole"}
    assert found["hole"].size == (16, 8), "that of the domain"
    alone = drawn(holes, wanted=("labels",))["labels"]
    assert alone.tobytes() == found["labels"].tobytes(), "leaving out the hole changes nothing else"


def test_a_patch_is_centred_at_the_hole_and_stays_in_the_picture() -> None:
    x = torch.arange(8 * 8.0).reshape(1, 1, 8, 8).expand(3, -1, -1, -1)
    hole = torch.zeros(3, 1, 8, 8)
    hole[0, 0, 3:5, 4:6] = 1
    hole[1, 0, 7, 0] = 1
    found = patch(x, hole, (4, 4))
    torch.testing.assert_close(found[0], x[0, :, 2:6, 3:7])
    torch.testing.assert_close(found[1], x[0, :, 4:8, 0:4])
    torch.testing.assert_close(found[2], x[0, :, 2:6, 2:6], msg="without a hole, the middle")


def test_only_the_hole_counts_whatever_its_size() -> None:
    x_fake, x_real, hole = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    hole[0, 0, 1:3, 1:3], hole[1, 0, 0, 0] = 1, 1
    squares = (x_fake - x_real).square()
    expected = (squares[0, :, 1:3, 1:3].mean() + squares[1, :, 0, 0].mean()) / 2
    torch.testing.assert_close(hole_mse(x_fake, x_real, hole), expected)
    torch.testing.assert_close(hole_mse(x_fake * hole, x_real, hole), expected)
    assert hole_mse(x_fake, x_real, torch.zeros_like(hole)) == 0


def test_the_measurement_and_what_it_compares_with() -> None:
    hole, x = torch.zeros(1, 1, 4, 4), torch.full((1, 3, 4, 4), -1.0)
    hole[..., :2] = 1
    x[..., :2] = 1  # white in the hole, black outside
    found = {name: float(absolute_error(filled, x, hole)) for name, filled in baselines(x, hole).items()}
    assert found == pytest.approx({"mean colour": 1.0, "grey": 0.5})
    assert float(absolute_error(x, x, hole)) == 0


def test_the_networks_have_the_layers_of_the_papers_tables() -> None:
    with torch.device("meta"):
        C, D = CompletionNetwork(image_size=(256, 256)), ContextDiscriminator(image_size=(256, 256))
        x, hole = torch.empty(2, 3, 256, 256), torch.empty(2, 1, 256, 256)
        assert C(x, hole).shape == x.shape
    convs = [m for m in C.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    assert [m.out_channels for m in convs] == [64, 128, 128, *[256] * 9, 128, 128, 64, 32, 3]
    assert [m.dilation[0] for m in convs[6:10]] == [2, 4, 8, 16]
    assert D.patch_size == (128, 128)
    whole, local = ([m.out_channels for m in part if isinstance(m, torch.nn.Conv2d)] for part in (D.whole, D.local))
    assert (whole, local) == ([64, 128, 256, 512, 512, 512], [64, 128, 256, 512, 512])
    assert (D.whole[-2].in_features, D.logit.in_features) == (512 * 4 * 4, 2048)


def test_the_recipe_with_the_papers_settings_has_no_mistakes() -> None:
    phases = load("inpainting_places2.yaml", (), discover()).recipe.phases
    assert [phase.after for phase in phases.values()] == [0, 90_000, 100_000]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Holes(image_size=(8, 8), photos=Grey(), size=(0.5, 0.3)),
            "size is 0.5 to 0.3; write the smaller number first",
        ),
        (
            lambda: Holes(image_size=(8, 8), photos=Holes(image_size=(8, 8), photos=Grey())),
            "photos has a field hole of its own; rename it",
        ),
        (lambda: CompletionNetwork(image_size=(30, 32)), "image_size 30 x 32: both sides must be multiples of 4"),
        (lambda: ContextDiscriminator(image_size=(32, 8)), "image_size 32 x 8: both sides must be at least 16 pixels"),
    ],
)
def test_what_cannot_be_is_told(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == said


def test_a_mistake_in_the_recipe_is_told_with_its_place() -> None:
    with pytest.raises(DataError) as error:
        checked = load("inpainting.yaml", ["data.size=[0.5, 0.3]", "steps=1300"], discover())
        Run(checked, make_accelerator("fp32"), None)
    assert str(error.value).endswith(": size is 0.5 to 0.3; write the smaller number first")
