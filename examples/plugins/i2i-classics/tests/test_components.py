"""The parts: networks of the papers' sizes, the pool, PatchNCE, features of any generator, pairs in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from i2i_classics.image_pool import ImagePool
from i2i_classics.patch_nce import Features, PatchNCE, Projector
from i2i_classics.patchgan import DomainPatchGAN, PatchGAN
from i2i_classics.resnet import ResnetGenerator
from i2i_classics.side_by_side import SideBySide
from i2i_classics.unet import UNet
from i2i_core.errors import DataError, RecipeError
from i2i_core.plan.check import load
from i2i_core.plan.draws import Draws
from i2i_core.registry.plugins import discover

PAPER = {"image_size": (256, 256)}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# Networks.


def test_the_papers_networks_have_the_papers_parameters() -> None:
    """11.378 M, 2.765 M and 54.41 M."""
    with torch.device("meta"):
        assert parameters(ResnetGenerator(**PAPER)) == 11_378_179
        assert parameters(PatchGAN(**PAPER)) == 2_764_737
        assert parameters(UNet(**PAPER)) == 54_413_955
        assert parameters(PatchGAN(**PAPER, in_channels=6, norm="batch")) == 2_768_705


def test_a_generator_makes_pictures_of_the_sources_size() -> None:
    x, unet = torch.rand(2, 3, 32, 64) * 2 - 1, UNet(image_size=(32, 64), width=4, levels=5)
    for made in (ResnetGenerator(image_size=(32, 64), width=4)(x), unet(x, torch.randn(2, unet.noise_size))):
        assert made.shape == x.shape
        assert made.abs().max() <= 1


@pytest.mark.parametrize(("levels", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_of_a_patchgan_sees_a_patch_of_the_papers_size(levels: int, field: int) -> None:
    network = PatchGAN(image_size=(128, 128), width=2, levels=levels).double()
    for module in network.modules():  # a norm sees the whole picture
        if isinstance(module, nn.InstanceNorm2d):
            module.forward = lambda x: x  # type: ignore[method-assign]
    x = torch.rand(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    logits = network(x)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0) > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (field, field)


def test_a_domain_has_logits_of_its_own() -> None:
    network = DomainPatchGAN(image_size=(32, 32), num_domains=3, width=4, levels=2)
    x = torch.rand(1, 3, 32, 32).expand(3, -1, -1, -1)
    logits = network(x, torch.tensor([0, 2, 0]))
    assert logits.shape == (3, 1, 6, 6)
    torch.testing.assert_close(logits[0], logits[2])
    assert not logits[0].allclose(logits[1], atol=1e-3)


def test_a_u_nets_noise_drops_values_of_three_layers_at_test_time_too() -> None:
    size: Any = {"image_size": (32, 32), "levels": 5, "width": 4, "norm": "instance"}
    network, x = UNet(**size, dropout=0.3).eval(), torch.rand(64, 3, 32, 32)
    assert network.noise_size == 32 * 2 * 2 + 16 * 4 * 4 + 8 * 8 * 8
    z = torch.randn(64, network.noise_size)
    assert network(x, z).equal(network(x, z))
    assert not network(x, z).equal(network(x, z.roll(1, 0)))
    seen = list[Tensor]()
    for up in network.up[1:]:
        up.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network(x, z)
    assert len(seen) == 3
    for features, size_before in zip(seen, (32, 16, 8), strict=True):
        dropped = features[:, :size_before].eq(0).float().mean()  # what came up; what went down is behind it
        assert float(dropped) == pytest.approx(0.3, abs=0.02)
    assert UNet(image_size=(32, 32), levels=3, width=4).noise_size == 8 * 8 * 8 + 4 * 16 * 16, "of the two that it has"
    still = UNet(**size, dropout=0)
    assert still(x, z).equal(still(x, -z))


def test_what_encode_gives_are_the_layers_that_its_docs_number() -> None:
    network, x = ResnetGenerator(image_size=(16, 16), width=2, blocks=9), torch.rand(1, 3, 16, 16)
    features = network.encode(x)
    assert [tuple(f.shape[1:]) for f in features] == [
        (3, 16, 16),
        (2, 16, 16),
        (2, 16, 16),
        (4, 8, 8),
        (4, 8, 8),
        (8, 4, 4),
        (8, 4, 4),
        *5 * [(8, 4, 4)],
    ]
    assert features[0] is x
    torch.testing.assert_close(network.decode(features), network(x))
    assert features[3].min() < 0, "a convolution, before its norm and ReLU"
    assert features[4].min() >= 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: ResnetGenerator(image_size=(30, 32)),
            "image_size 30 x 32: both sides must be multiples of 4 and at least 8",
        ),
        (
            lambda: ResnetGenerator(image_size=(4, 4)),
            "image_size 4 x 4: both sides must be multiples of 4 and at least 8",
        ),
        (lambda: UNet(image_size=(64, 64)), "image_size 64 x 64 cannot be halved 8 times; reduce levels"),
        (lambda: UNet(image_size=(64, 64), levels=2), "levels must be 3 or more, not 2"),
        (
            lambda: PatchGAN(image_size=(16, 64), levels=3),
            "image_size 16 x 64 leaves no patch after 3 levels; reduce levels",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_told(make: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == said


# The pool.


def draws(n: int, step: int = 0) -> Any:
    return Draws(0, step, 0, n, n, torch.device("cpu"), torch.float32).normal("pool")


def test_a_pool_shows_new_pictures_until_it_is_full_and_then_swaps_about_half() -> None:
    pool, stream = ImagePool(size=50), torch.arange(4050.0).reshape(-1, 1, 1, 1)
    assert pool(stream[:50], draws(50)).equal(stream[:50])
    shown = torch.cat([pool(stream[i : i + 4], draws(4, i)) for i in range(50, 4050, 4)]).flatten()
    old = shown != stream[50:].flatten()
    assert abs(float(old.float().mean()) - 0.5) < 4 * 0.5 / 4000**0.5
    inside = pool.state_dict()["pictures"].flatten().tolist()
    assert sorted([*shown[old].tolist(), *inside]) == sorted([*range(50), *stream[50:].flatten()[old].tolist()]), (
        "what was swapped out was shown, once"
    )


def test_a_pools_places_are_equally_likely() -> None:
    pool, counts = ImagePool(size=10), torch.zeros(10)
    pool(torch.zeros(10, 1, 1, 1), draws(10))
    for i in range(4000):
        before = pool.pictures.clone()  # type: ignore[union-attr]
        pool(torch.full((1, 1, 1, 1), float(i + 1)), draws(1, i))
        counts += (pool.pictures != before).flatten()
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 27.9  # chi-square, 9 degrees, p = 0.001


def test_nothing_flows_through_a_pool() -> None:
    x = torch.rand(3, 1, 2, 2, requires_grad=True)
    assert not ImagePool(size=2)(x, draws(3)).requires_grad


# PatchNCE.


def features_of(n: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(n)
    return [
        torch.randn(2, channels, side, side, generator=generator, dtype=torch.float64)
        for channels, side in ((3, 8), (5, 4))
    ]


def sized(projector: Projector) -> Projector:
    projector.double()
    for layer, found in enumerate(features_of()):
        projector(layer, found.flatten(2).transpose(1, 2))
    return projector


def normal(*shape: int) -> Tensor:
    return Draws(0, 0, 0, 2, 2, torch.device("cpu"), torch.float64).normal("nce")(*shape)


def test_patch_nce_is_a_guess_among_patches_where_nothing_tells_them_apart() -> None:
    same = [torch.ones_like(f) for f in features_of()]
    loss = PatchNCE(patches=16)(sized(Projector(layers=2, width=4)), same, same, normal)
    assert float(loss.detach()) == pytest.approx(np.log(16))


def test_patch_nce_is_small_where_each_patch_is_like_its_source_and_large_where_it_is_like_another() -> None:
    projector, loss, found = sized(Projector(layers=2, width=32)), PatchNCE(patches=16), features_of()
    like = float(loss(projector, found, found, normal).detach())
    other = float(loss(projector, found, [f.flip(3) for f in found], normal).detach())
    assert like < np.log(16) < other


def test_patch_nce_moves_the_translation_and_the_projector_and_not_the_source() -> None:
    projector = sized(Projector(layers=2, width=4))
    source, fake = ([f.requires_grad_() for f in features_of(n)] for n in (2, 3))
    PatchNCE(patches=8)(projector, source, fake, normal).backward()
    assert all(f.grad is None for f in source)
    assert all(f.grad is not None and f.grad.abs().sum() > 0 for f in fake)
    assert all(p.grad is not None for p in projector.parameters())


def test_a_projector_learns_its_widths_from_the_first_features() -> None:
    projector = sized(Projector(layers=2, width=4))
    assert [tuple(p.shape) for name, p in projector.named_parameters() if name.endswith("0.weight")] == [(4, 3), (4, 5)]
    weights = torch.cat(
        [
            p.detach().flatten()
            for name, p in sized(Projector(layers=2, width=256)).named_parameters()
            if name.endswith("weight")
        ]
    )
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize(
    ("layers", "heads", "said"),
    [
        (
            [0, 5],
            2,
            "patch_nce compares layers [0, 5], but there are 2 feature maps and the projector has 2 heads; set "
            "layers of both",
        ),
        (
            None,
            1,
            "patch_nce compares layers [0, 1], but there are 2 feature maps and the projector has 1 heads; set "
            "layers of both",
        ),
    ],
)
def test_layers_that_are_not_there_are_told(layers: list[int] | None, heads: int, said: str) -> None:
    with pytest.raises(ValueError) as error:
        PatchNCE(layers=layers)(Projector(layers=heads), features_of(), features_of(), normal)
    assert str(error.value) == said


def test_no_layers_at_all_are_refused() -> None:
    with pytest.raises(RecipeError, match="losses.generator.nce_x.layers: list should have at least 1 item, not 0"):
        load("cut.yaml", ["losses.generator.nce_x.layers=[]"], discover())


def test_losses_of_one_projector_have_to_compare_the_same_layers() -> None:
    projector = sized(Projector(layers=2, width=4))
    with pytest.raises(ValueError) as error:
        PatchNCE(layers=[0, 0])(projector, features_of(), features_of(), normal)
    assert str(error.value) == (
        "layer 0 has 3 channels, but head 1 of the projector takes 5, as for another loss; "
        "losses that share a projector must compare the same layers"
    )


def test_features_are_what_named_layers_make_of_pictures() -> None:
    network, x = ResnetGenerator(image_size=(16, 16), width=2, blocks=3), torch.rand(1, 3, 16, 16)
    second, first = Features(layers=["encoder.2", "encoder.0"])(network, x)
    torch.testing.assert_close(second, network.encode(x)[3])
    torch.testing.assert_close(first, network.encode(x)[1])
    assert all(not module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("encoder.77", "the generator has no layer encoder.77 (did you mean encoder.7?)"),
        (
            "x",
            "the generator has no layer x (its first layers are encoder, encoder.0, encoder.1, encoder.1.0, "
            "encoder.1.1, encoder.2, encoder.3, encoder.3.0)",
        ),
        ("decoder.0", "the generator's encoder does not use the layer decoder.0; choose other layers"),
    ],
)
def test_layers_that_an_encoder_does_not_use_are_told(layer: str, said: str) -> None:
    network = ResnetGenerator(image_size=(16, 16), width=2, blocks=3)
    with pytest.raises(ValueError) as error:
        Features(layers=[layer])(network, torch.rand(1, 3, 16, 16))
    assert str(error.value) == said


# Pairs in one file.


def test_the_halves_of_a_picture_are_a_pair(tmp_path: Path) -> None:
    both = np.zeros((16, 40, 3), np.uint8)
    both[:, 20:] = 200
    Image.fromarray(both).save(tmp_path / "1.png")
    data = SideBySide(root=tmp_path, domains=("photo", "map"))
    assert (data.domains, data.paired, data.count(0), data.count(1)) == (("photo", "map"), True, 1, 1)
    assert [*data.extents(0).values()] == [*data.extents(1).values()] == [(16, 20)]
    rng = np.random.default_rng(0)
    left, right = (np.asarray(data.record(domain, 0, ["x"], rng)["x"]) for domain in (0, 1))
    assert left.shape == right.shape == (16, 20, 3)
    assert (left.max(), right.min()) == (0, 200)
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match="1.png cannot be read any more"):
        data.record(0, 0, ["x"], rng)


def test_broken_pairs_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder .*nowhere; root must contain pictures side by side"):
        SideBySide(root=tmp_path / "nowhere")
    (tmp_path / "1.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"1 broken picture in .*: 1.png \(it is text, not a picture\)"):
        SideBySide(root=tmp_path)
    Image.new("RGB", (40, 16)).save(tmp_path / "2.png")
    with pytest.warns(UserWarning, match="skipped 1 broken picture"):
        data = SideBySide(root=tmp_path, broken="skip")
    assert (data.count(0), data.count(1), data.broken_pictures) == (1, 1, [1, 1])
    (tmp_path / "2.png").unlink()
    (tmp_path / "1.png").unlink()
    with pytest.raises(ValueError, match="^.* contains no pictures; root must contain pictures side by side$"):
        SideBySide(root=tmp_path)
    with pytest.raises(ValueError, match="^both domains have the name a; give them different names$"):
        SideBySide(root=tmp_path, domains=("a", "a"))
