"""The parts: networks, features, the data set, the schedule, and the measurement."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from i2i_esrgan.discriminator import VGGDiscriminator
from i2i_esrgan.features import MEAN, NAMES, STD, VGG19, layers_up_to
from i2i_esrgan.generator import RRDB, DenseBlock, RRDBNet
from i2i_esrgan.piecewise import Piecewise
from i2i_esrgan.psnr import psnr
from i2i_esrgan.reduced import Reduced

RNG = np.random.default_rng(0)
SMALL: Any = {"source_channels": 3, "target_channels": 3, "width": 4, "growth": 2, "blocks": 1}


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_generator_enlarges_by_powers_of_two(factor: int) -> None:
    network = RRDBNet(source_size=(8, 4), target_size=(8 * factor, 4 * factor), **SMALL)
    assert network(torch.rand(2, 3, 8, 4)).shape == (2, 3, 8 * factor, 4 * factor)
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 5 * factor, 7 * factor), "of any size"


@pytest.mark.parametrize("target", [(48, 48), (16, 16), (64, 32), (8, 8), (70, 70)])
def test_a_generator_refuses_sizes_that_it_cannot_make(target: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"16 x 16 cannot be enlarged to {target[0]} x {target[1]} pixels: both"):
        RRDBNet(source_size=(16, 16), target_size=target, **SMALL)


def test_a_dense_block_reads_all_maps_before_each_convolution_and_scales_its_result() -> None:
    block, x = DenseBlock(4, 2), torch.randn(1, 4, 5, 5)
    weights = [(layer.weight, layer.bias) for layer in block.layers]
    assert [w.shape[:2] for w, _ in weights] == [(2, 4), (2, 6), (2, 8), (2, 10), (4, 12)]
    maps = x
    for w, b in weights[:-1]:
        maps = torch.cat([maps, F.leaky_relu(F.conv2d(maps, w, b, padding=1), 0.2)], 1)
    torch.testing.assert_close(block(x), x + 0.2 * F.conv2d(maps, *weights[-1], padding=1))


def test_blocks_whose_last_weights_are_zero_scale_a_picture() -> None:
    """x + β f(x), where f(x) = x if each dense block adds nothing."""
    block = RRDB(4, 2)
    for dense in block.dense:
        torch.nn.init.zeros_(dense.layers[-1].weight)
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(block(x), 1.2 * x)


def test_the_papers_generator_has_its_number_of_parameters() -> None:
    """A count by hand: 23 blocks of three dense blocks, width 64, growth 32, and six convolutions."""
    network = RRDBNet(source_size=(32, 32), target_size=(128, 128), source_channels=3, target_channels=3)
    dense = 9 * (64 * 32 + 96 * 32 + 128 * 32 + 160 * 32 + 192 * 64) + 4 * 32 + 64
    others = 2 * (9 * 3 * 64) + 64 + 3 + 4 * (9 * 64 * 64 + 64)
    assert sum(p.numel() for p in network.parameters()) == 23 * 3 * dense + others


def test_a_discriminator_takes_its_sizes_from_large_pictures() -> None:
    network = VGGDiscriminator(target_size=(32, 16), target_channels=1, width=4, levels=3, hidden=5)
    assert network(torch.rand(2, 1, 32, 16)).shape == (2, 1)
    paper = VGGDiscriminator(target_size=(128, 128), target_channels=3)
    found = [tuple(m.weight.shape[:2]) for m in paper.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [after for after, _ in found] == [64, 64, 128, 128, 256, 256, 512, 512]
    with pytest.raises(ValueError, match="24 x 16 cannot be halved 4 times; reduce levels"):
        VGGDiscriminator(target_size=(24, 16), target_channels=3)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The tensors of the first three convolutions of a random VGG19, and one that is not needed."""
    shapes = {"features.0": (64, 3), "features.2": (64, 64), "features.5": (128, 64), "classifier.0": (7, 5)}
    tensors = {f"{name}.weight": 0.1 * torch.randn(*shape, 3, 3) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    torch.save(tensors, tmp_path / "vgg.pth")
    save_file(tensors, tmp_path / "vgg.safetensors")
    return tmp_path


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_features_are_those_before_the_activation(weights: Path, suffix: str) -> None:
    network, t = VGG19(weights=weights / f"vgg.{suffix}", layer="conv2_1"), torch.load(weights / "vgg.pth")
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    made = ((x + 1) / 2 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    for n in (0, 2):
        made = F.conv2d(made, t[f"features.{n}.weight"], t[f"features.{n}.bias"], padding=1).relu()
    made = F.conv2d(F.max_pool2d(made, 2), t["features.5.weight"], t["features.5.bias"], padding=1)
    torch.testing.assert_close(network(x), made)
    assert made.min() < 0


def test_the_tensors_have_the_names_and_shapes_of_torchvisions() -> None:
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        ours, theirs = layers_up_to(NAMES[-1]), torchvision.models.vgg19(weights=None).features
    assert (len(NAMES), NAMES[-1], NAMES[2]) == (16, "conv5_4", "conv2_1")
    shapes = [{name: t.shape for name, t in network.state_dict().items()} for network in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert [type(layer) for layer in ours] == [type(layer) for layer in theirs[:-2]], (
        "without the last ReLU and pooling"
    )


@pytest.mark.parametrize(
    ("name", "layer", "said"),
    [
        ("vgg.pth", "conv6_1", "VGG19 has no layer conv6_1; write one of conv1_1, "),
        ("none.pth", "conv1_1", "none.pth: No such file or directory; the README of i2i-gan-esrgan says what to fetch"),
        ("vgg.pth", "conv2_2", "vgg.pth lacks features.7.weight; VGG19 needs it with [128, 128, 3, 3]: fetch vgg19-"),
        ("text.pth", "conv1_1", "text.pth is not a checkpoint"),
    ],
)
def test_unusable_weights_are_refused_in_a_sentence(weights: Path, name: str, layer: str, said: str) -> None:
    (weights / "text.pth").write_text("weights")
    with pytest.raises(ValueError) as error:
        VGG19(weights=weights / name, layer=layer)
    assert said in str(error.value)


class Photos:
    """Three photographs in two domains."""

    domains, paired = ("a", "b"), False

    def count(self, domain: int) -> int:
        return domain + 1

    def picture(self, domain: int, index: int) -> Image.Image:
        array = np.random.default_rng((domain, index)).integers(256, size=(14, 21, 3), dtype=np.uint8)
        return Image.fromarray(array)


def test_small_pictures_are_large_ones_reduced() -> None:
    data, photos = Reduced(image_size=(32, 16), photos=Photos()), Photos()
    assert (data.sizes, data.count(0), data.count(1)) == ({"small": (8, 4)}, 3, 3)
    for index, place in enumerate([(0, 0), (1, 0), (1, 1)]):
        large = data.record(1, index, ["x"], RNG)["x"]
        assert (np.asarray(large) == np.asarray(photos.picture(*place))[:12, :20]).all()
        small = data.record(0, index, ["x"], RNG)["x"]
        assert small.size == (5, 3)
        assert np.asarray(small).mean() == pytest.approx(np.asarray(large).mean(), abs=3)
    with pytest.raises(ValueError, match="image_size 30 x 16 is not a multiple of scale, 4"):
        Reduced(image_size=(30, 16), photos=Photos())


def test_a_schedule_changes_at_its_steps() -> None:
    rate = Piecewise(values=(4.0, 2.0, 1.0), at=(3, 5))
    assert [rate(step) for step in range(7)] == [4, 4, 4, 2, 2, 1, 1]
    assert str(rate) == "4, 2 from 3, 1 from 5"
    for values, at, said in (((1.0,), (2,), "1 steps need 2 values, not 1"), ((1.0, 2.0, 3.0), (4, 4), "should rise")):
        with pytest.raises(ValueError, match=said):
            Piecewise(values=values, at=at)


def test_the_signal_to_noise_ratio_is_that_of_8_bits() -> None:
    x = torch.zeros(3, 3, 4, 4)
    y = x.clone()
    y[0] += 2 / 255  # one of 255 levels
    y[1, :, 0] += 2
    found = psnr(x, y, span=2)
    assert found.tolist() == pytest.approx([20 * math.log10(255), 10 * math.log10(4), 100], rel=1e-4)
