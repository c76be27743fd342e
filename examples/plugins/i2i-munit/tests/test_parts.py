"""The networks at the paper's sizes, AdaIN, the schedule, the recipes, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i_core.data.sets import build_data
from i2i_core.errors import RecipeError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_munit.decoder import Decoder
from i2i_munit.discriminator import Discriminator
from i2i_munit.encoders import ContentEncoder, StyleEncoder
from i2i_munit.halving import Halving
from i2i_munit.layers import adain


def convolutions(network: nn.Module) -> list[tuple[int, int, int]]:
    """Kernel size, stride and number of filters of each convolution, in order."""
    return [(m.kernel_size[0], m.stride[0], m.out_channels) for m in network.modules() if isinstance(m, nn.Conv2d)]


def test_the_networks_have_the_layers_of_the_paper() -> None:
    size = (256, 256)
    with torch.device("meta"):
        content, style, G, D = (
            ContentEncoder(image_size=size),
            StyleEncoder(image_size=size),
            Decoder(),
            Discriminator(image_size=size),
        )
        x = torch.empty(2, 3, 256, 256)
        c, s = content(x), style(x)
        assert (c.shape, s.shape, G(c, s).shape) == ((2, 256, 64, 64), (2, 8), x.shape)
        assert [tuple(of.shape) for of in D(x)] == [(2, 1, 16, 16), (2, 1, 8, 8), (2, 1, 4, 4)]
    down = [(7, 1, 64), (4, 2, 128), (4, 2, 256)]
    assert convolutions(content) == down + 8 * [(3, 1, 256)]
    assert convolutions(style) == down + 2 * [(4, 2, 256)]
    assert convolutions(G) == 8 * [(3, 1, 256)] + [(5, 1, 128), (5, 1, 64), (7, 1, 3)]
    assert convolutions(D) == 3 * [*((4, 2, n) for n in (64, 128, 256, 512)), (1, 1, 1)]


def test_adain_gives_activations_the_mean_and_deviation_of_the_style() -> None:
    gamma, beta = torch.tensor([[2.0, 0.5], [1.0, 3.0]]), torch.tensor([[-1.0, 4.0], [0.0, 7.0]])
    made = adain(5 * torch.randn(2, 2, 8, 8) + 3, gamma, beta)
    torch.testing.assert_close(made.mean((2, 3)), beta, rtol=0, atol=1e-4)
    torch.testing.assert_close(made.std((2, 3), unbiased=False), gamma, rtol=1e-3, atol=0)


def test_the_style_changes_the_picture_of_a_content() -> None:
    G, c = Decoder(width=4, blocks=1, mlp_width=8), torch.rand(1, 16, 4, 4)
    made = G(c.expand(3, -1, -1, -1), torch.stack([torch.ones(8), -torch.ones(8), torch.ones(8)]))
    torch.testing.assert_close(made[0], made[2])
    assert not made[0].allclose(made[1], atol=1e-3)


def test_the_rate_is_halved_every_so_many_steps() -> None:
    rate = Halving(value=8.0, period=10)
    assert [rate(step) for step in (0, 9, 10, 29, 30)] == [8, 8, 4, 2, 1]
    assert str(rate) == "8, halved every 10 steps"


def test_the_recipe_with_the_papers_settings_takes_a_folder_per_domain(tmp_path: Path) -> None:
    for name in ("train/edges", "train/shoes", "val/edges", "val/shoes"):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / name / "1_AB.jpg")
    sets = [f"data.root={tmp_path / 'train'}", f"data.validation.root={tmp_path / 'val'}"]
    checked = load("munit_edges2shoes.yaml", sets, discover())
    assert build_data(checked).train.batch(1, [0])["x"].shape == (1, 3, 256, 256)
    assert list(checked.recipe.uses) == ["a_to_b", "a_to_b_like", "b_to_a", "b_to_a_like"]


@pytest.mark.parametrize(
    "targets", ["all", "{flat: [high_contrast, flat]}", "{flat: high_contrast, high_contrast: flat}"]
)
def test_a_recipe_that_does_not_name_two_domains_is_told(targets: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("munit.yaml", [f"data.targets={targets}"], discover())
    assert "munit/method translates between two domains A and B, but data.targets does not name the two" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: ContentEncoder(image_size=(30, 32)),
            "image_size 30 x 32: both sides must be multiples of 4 and at least 16",
        ),
        (lambda: StyleEncoder(image_size=(32, 16)), "image_size 32 x 16 is too small for 4 levels; reduce levels"),
        (
            lambda: Discriminator(image_size=(32, 64)),
            "image_size 32 x 64 leaves no patch after 4 levels at 3 scales; reduce levels or scales",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_told(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == said
