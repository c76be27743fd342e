"""The parts: drawn faces and their table, the measurement by colour, the loss, networks of the paper's size."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from i2i_core.data.datasets.image_folders import ImageFolders, Table
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.errors import RecipeError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run
from i2i_stargan_v1.discriminator import Discriminator
from i2i_stargan_v1.draw import write_faces
from i2i_stargan_v1.drawing import ATTRIBUTES
from i2i_stargan_v1.edited_faces import measured, shares
from i2i_stargan_v1.faces import Faces
from i2i_stargan_v1.generator import Generator
from i2i_stargan_v1.losses import attributes

RNG = np.random.default_rng(0)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_a_face_is_a_function_of_its_index_and_its_split() -> None:
    train, val = Faces(), Faces(split="val")
    faces = [of.record(0, n, ("x", "given"), RNG) for of in (train, val) for n in range(20)]
    assert len({face["x"].tobytes() for face in faces}) == 40
    assert train.record(0, 3, ("x",), RNG)["x"].tobytes() == faces[3]["x"].tobytes()
    assert train.record(0, 3, ("given",), RNG) == {"given": faces[3]["given"]}
    assert {tuple(face["given"]) for face in faces} == {ATTRIBUTES}
    assert {number for face in faces for number in face["given"].values()} == {-1.0, 1.0}


@pytest.mark.parametrize("size", [32, 48, 64])
def test_the_measurement_by_colour_is_true_of_all_drawn_faces(size: int) -> None:
    faces, form = Faces(split="val", size=150), Picture()
    records = [faces.record(0, n, ("x", "given"), RNG) for n in range(150)]
    x = form.encode(torch.stack([form.fit(of["x"], (size, size)) for of in records]), torch.float32)
    given = torch.tensor([[of["given"][name] > 0 for name in ATTRIBUTES] for of in records])
    assert measured(x).equal(given)
    assert given.float().mean(0).sub(0.5).abs().max() < 0.15


def test_shares_count_what_should_have_changed_and_what_should_have_stayed() -> None:
    given = torch.tensor([[True] * 4, [False] * 4])
    wanted = torch.tensor([[False, True, True, True], [False] * 4])
    edited = torch.tensor([[False, True, False, True], [False, False, False, True]])
    found = shares(given, wanted, edited, given)
    assert (found["all"], found["unedited"]) == (0.0, 0.5)
    assert found["Blond_Hair"] == {"changed": 1.0, "kept": 1.0, "measured": 1.0}
    assert found["Smiling"] == {"changed": 1.0, "kept": 0.5, "measured": 1.0}, "nothing had to change"
    assert found["Wearing_Hat"]["kept"] == 0.5


def test_the_table_of_drawn_faces_is_read_as_celebas_is(tmp_path: Path) -> None:
    faces = Faces(size=3)
    write_faces(tmp_path, faces)
    header, first, *_ = csv.reader((tmp_path / "list_attr.csv").read_text().splitlines())
    assert (header, first[0]) == (["image_id", *ATTRIBUTES], "000001.png")
    table = Table(table=Path("list_attr.csv"), key="image_id", columns=ATTRIBUTES, format=Numbers(range=(-1.0, 1.0)))
    found = ImageFolders(root=tmp_path, domains=["photos"], fields={"given": table})
    assert found.fields == faces.fields
    for n in range(3):
        ours, theirs = (of.record(0, n, ("x", "given"), RNG) for of in (found, faces))
        assert ours["given"] == theirs["given"]
        assert ours["x"].tobytes() == theirs["x"].tobytes()


def test_the_loss_is_the_sum_over_attributes_and_the_mean_over_pictures() -> None:
    logits, given = torch.zeros(3, 4), torch.ones(3, 4)
    torch.testing.assert_close(attributes(logits, given), 4 * torch.tensor(2.0).log())
    assert attributes(20 * given, given) < 1e-6


def test_the_networks_have_the_sizes_of_the_papers_tables() -> None:
    with torch.device("meta"):
        G, D = (of(image_size=(128, 128), attributes=5) for of in (Generator, Discriminator))
        x = torch.empty(2, 3, 128, 128)
        assert G(x, torch.empty(2, 5)).shape == x.shape
        assert [tuple(of.shape) for of in D(x)] == [(2, 1, 2, 2), (2, 5)]
    assert [m.out_channels for m in D.layers if isinstance(m, nn.Conv2d)] == [64, 128, 256, 512, 1024, 2048]
    down = 49 * 8 * 64 + 16 * 64 * 128 + 16 * 128 * 256
    blocks, up = 6 * 2 * 9 * 256 * 256, 16 * 256 * 128 + 16 * 128 * 64 + 49 * 64 * 3
    norms = 2 * (64 + 128 + 256 + 12 * 256 + 128 + 64)
    assert parameters(G) == down + blocks + up + norms


def test_the_recipe_with_the_papers_settings_has_no_mistakes() -> None:
    checked = load("stargan_v1_celeba.yaml", (), discover())
    assert (checked.recipe.phases["generator"].every, checked.recipe.steps) == (5, 200_000)


def test_target_attributes_change_the_picture() -> None:
    G, x = Generator(image_size=(16, 16), attributes=2, width=4, blocks=1), torch.rand(1, 3, 16, 16)
    made = G(x.expand(3, -1, -1, -1), torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(made[0], made[2])
    assert not made[0].allclose(made[1], atol=1e-3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Generator(image_size=(30, 32), attributes=2), "image_size 30 x 32: both sides must be multiples of 4"),
        (
            lambda: Discriminator(image_size=(64, 48), attributes=2),
            "image_size 64 x 48: both sides must be multiples of 2^6; reduce levels",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_told(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("generator", "the generator takes 5 attributes, and the data has 4; set its attributes to 4"),
        ("discriminator", "the discriminator has logits for 5 attributes, and the data has 4; set its attributes to 4"),
    ],
)
def test_another_number_of_attributes_than_the_data_has_is_told(network: str, said: str) -> None:
    sets = ("steps=1", "hooks.samples=null", "hooks.progress=null", f"networks.{network}.attributes=5")
    run = Run(load("stargan_v1.yaml", sets, discover()), make_accelerator("fp32"), None)
    with pytest.raises(RecipeError) as error:
        run.start()
        run.trainer.train(run)
    assert said in str(error.value)
