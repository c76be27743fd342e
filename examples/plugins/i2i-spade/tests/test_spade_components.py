"""The parts: SPADE, its networks, edges of instances, the KL divergence, and the drawn scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from i2i_core.data.formats.labels import Labels
from i2i_spade.discriminator import Discriminator
from i2i_spade.edges import edges
from i2i_spade.encoder import Encoder
from i2i_spade.generator import SPADE, Generator
from i2i_spade.kld import kld
from i2i_spade.scenes import CLASSES, HOUSE, TREE, Scenes

SIZE: Any = {"target_size": (16, 32), "target_channels": 3}


def one_hot(*shape: int) -> torch.Tensor:
    ids = torch.randint(5, shape, generator=torch.Generator().manual_seed(0))
    return F.one_hot(ids, 5).movedim(-1, 1).float()


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_spade_is_equation_1_at_the_size_of_its_input(norm: Any) -> None:
    layer = SPADE(3, 5, 8, norm).double()
    x, m = torch.rand(2, 3, 4, 6, dtype=torch.float64), one_hot(2, 8, 12).double()
    over = (0, 2, 3) if norm == "batch" else (2, 3)
    mean, variance = x.mean(over, keepdim=True), x.var(over, unbiased=False, keepdim=True)
    hidden = layer.shared(m[:, :, ::2, ::2])  # the nearest pixel
    gamma, beta = layer.gamma(hidden), layer.beta(hidden)
    torch.testing.assert_close(layer(x, m), (1 + gamma) * (x - mean) / (variance + 1e-5).sqrt() + beta)


def test_the_generator_has_the_papers_blocks() -> None:
    """1024, 1024, 1024, 512, 256, 128 and 64 channels for a width of 64."""
    network = Generator(target_size=(256, 256), source_channels=5, target_channels=3, width=1, hidden=4)
    assert [block.convs[1].weight.shape[0] for block in network.blocks] == [16, 16, 16, 8, 4, 2, 1]
    assert [block.skip is not None for block in network.blocks] == [False, False, False, True, True, True, True]
    assert network.first == (16, 4, 4)


def test_a_picture_follows_its_label_map_and_its_latent() -> None:
    network = Generator(**SIZE, source_channels=5, width=2, levels=3, latent_dim=4, hidden=4, norm="instance").eval()
    m, z = one_hot(2, 16, 32), torch.randn(2, 4)
    made = network(m, z)
    assert made.shape == (2, 3, 16, 32)
    assert made.abs().max() <= 1
    assert not made.allclose(network(m.flip(3), z), atol=1e-4)
    assert not made.allclose(network(m, -z), atol=1e-4)


def test_all_convolutions_of_the_discriminator_have_spectral_norm() -> None:
    network = Discriminator(**SIZE, source_channels=5, width=4, levels=2)
    x = torch.rand(1, 8, 16, 32)
    for _ in range(50):  # power iterations
        network(x)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 8
    for layer in convs:
        sigma = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert float(sigma.detach()) == pytest.approx(1, abs=0.02)


def test_a_discriminator_judges_at_several_scales() -> None:
    network = Discriminator(**SIZE, source_channels=5, edges=True, width=4, levels=2, scales=2)
    logits, features = network(torch.rand(2, 9, 16, 32))
    assert [tuple(t.shape) for t in logits] == [(2, 1, 7, 11), (2, 1, 5, 7)]
    assert [[t.shape[1] for t in scale] for scale in features] == [[4, 8, 16]] * 2


def test_an_encoder_gives_mean_and_log_variance() -> None:
    network = Encoder(target_size=(32, 64), target_channels=3, width=4, latent_dim=6)
    assert network(torch.rand(2, 3, 32, 64)).shape == (2, 2, 6)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 3


def test_edges_are_where_a_neighbour_has_another_id() -> None:
    ids = torch.randint(3, (2, 1, 5, 7), generator=torch.Generator().manual_seed(1))
    found = edges(ids)
    for n in range(2):
        for i in range(5):
            for j in range(7):
                places = [(i + a, j + b) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
                around = [ids[n, 0, a, b] for a, b in places if 0 <= a < 5 and 0 <= b < 7]
                assert found[n, 0, i, j] == any(other != ids[n, 0, i, j] for other in around)


def test_kld_is_the_divergence_of_normal_distributions() -> None:
    posterior = torch.randn(4, 2, 3, dtype=torch.float64)
    mean, deviation = posterior[:, 0], (posterior[:, 1] / 2).exp()
    q, p = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(kld(posterior), torch.distributions.kl_divergence(q, p).sum(1).mean())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Generator(**SIZE, source_channels=5, levels=5),
            "pictures of 16 x 32 cannot be halved 5 times; reduce levels",
        ),
        (
            lambda: Discriminator(**SIZE, source_channels=5, scales=3),
            "pictures of 16 x 32 leave no patch after 3 levels at scale 3; reduce levels or scales",
        ),
        (
            lambda: Encoder(target_size=(4, 8), target_channels=3),
            "pictures of 4 x 8 are too small; sides need 8 pixels",
        ),
        (
            lambda: Generator(**SIZE, source_channels=5, width=1, levels=2)(
                one_hot(1, 16, 32)[:, :4], torch.rand(1, 256)
            ),
            "the generator takes 5 channels, but its input has 4; set its edges to true exactly if the recipe has the "
            "tensor edges",
        ),
    ],
)
def test_what_does_not_fit_is_told(make: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == said


# Scenes.


def test_a_scene_is_a_function_of_its_number() -> None:
    train, val = (Scenes(image_size=(32, 48), split=split) for split in ("train", "val"))
    rng = np.random.default_rng(0)
    ids, again, other = (np.asarray(s.record(0, 3, ["x"], rng)["x"]) for s in (train, train, val))
    assert ids.shape == (32, 48)
    assert (ids == again).all() and (ids != other).any()


def test_trees_and_houses_are_instances_and_the_rest_is_of_its_class() -> None:
    data, rng, seen = Scenes(image_size=(48, 48)), np.random.default_rng(0), set[int]()
    for index in range(20):
        record = data.record(0, index, ["x", "instance"], rng)
        labels, instances = np.asarray(record["x"]), np.asarray(record["instance"])
        assert data.formats["labels"].converted(record["x"]) is record["x"]
        seen |= {*labels.flatten().tolist()}
        things = instances >= len(CLASSES)
        assert (things == np.isin(labels, (TREE, HOUSE))).all()
        assert (instances[~things] == labels[~things]).all()
        assert all(len({*labels[instances == one].tolist()}) == 1 for one in {*instances[things].tolist()})
    assert seen == {*range(len(CLASSES))}


def test_one_label_map_has_pictures_in_different_lights() -> None:
    data, rng = Scenes(image_size=(48, 48)), np.random.default_rng(0)
    skies = [np.asarray(data.record(1, n, ["x"], rng)["x"])[0].mean(0) for n in range(20)]
    assert np.ptp(np.stack(skies), axis=0).min() > 100


def test_a_drawn_label_map_survives_its_format() -> None:
    data = Scenes(image_size=(48, 48))
    picture = data.record(0, 0, ["x"], np.random.default_rng(0))["x"]
    form = data.formats["labels"]
    assert isinstance(form, Labels) and isinstance(picture, Image.Image)
    back = form.decode(form.encode(form.fit(picture, (48, 48))[None], torch.float32)[0])
    assert (np.asarray(back) == np.asarray(picture)).all()
    assert back.getpalette() == picture.getpalette()
