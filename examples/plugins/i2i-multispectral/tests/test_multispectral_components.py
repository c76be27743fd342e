"""The parts: the networks, the drawn land, and the errors of bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from i2i_core.data.formats.raster import Raster
from i2i_multispectral.land import BANDS, COVERS, NOISE, RANGE, WHITE, Land, covers, measured
from i2i_multispectral.patchgan import PatchGAN
from i2i_multispectral.unet import UNet

SIZE: Any = {"source_size": (32, 16)}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("source", "target"), [(3, 4), (4, 3), (1, 13)])
def test_a_generator_maps_between_any_numbers_of_channels(source: int, target: int) -> None:
    network = UNet(**SIZE, source_channels=source, target_channels=target, width=4, levels=4)
    made = network(torch.rand(2, source, 32, 16) * 2 - 1)
    assert made.shape == (2, target, 32, 16)
    assert made.abs().max() <= 1


def test_a_value_of_the_source_reaches_the_same_pixel_without_a_norm() -> None:
    """With instance norms, a constant added to a picture would otherwise be lost."""
    network = UNet(**SIZE, source_channels=3, target_channels=4, width=4, levels=2, norm="instance")
    x = torch.rand(1, 3, 32, 16, requires_grad=True)
    found = list[torch.Tensor]()
    network.pixel.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    network(x)
    assert found[0].shape[1] == 4 + 3
    torch.testing.assert_close(found[0][:, 4:], x)


def test_without_norms_a_picture_does_not_depend_on_the_others() -> None:
    x = torch.rand(3, 3, 32, 16)
    for norm, alone in (("none", True), ("instance", True), ("batch", False)):
        network = UNet(**SIZE, source_channels=3, target_channels=4, width=4, levels=3, norm=norm)  # type: ignore[arg-type]
        assert network(x)[:1].allclose(network(x[:1]), atol=1e-6) == alone


@pytest.mark.parametrize(("levels", "field"), [(2, 34), (3, 70)])
def test_a_logit_sees_a_patch_of_the_papers_size(levels: int, field: int) -> None:
    network = PatchGAN(
        source_size=(128, 128), source_channels=3, target_channels=4, width=2, levels=levels, norm="none"
    ).double()
    x = torch.rand(1, 7, 128, 128, dtype=torch.float64, requires_grad=True)
    logits = network(x)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    assert int((x.grad[0].abs().sum((0, 1)) > 0).sum()) == field


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: UNet(**SIZE, source_channels=3, target_channels=4, levels=5),
            "rasters of 32 x 16 cannot be halved 5 times; reduce levels",
        ),
        (
            lambda: PatchGAN(**SIZE, source_channels=3, target_channels=4),
            "rasters of 32 x 16 leave no patch after 3 levels; reduce levels",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_told(make: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == said


# Land.


def test_a_place_is_a_function_of_its_number() -> None:
    train, val = (Land(image_size=(24, 32), split=split) for split in ("train", "val"))
    bands, again, other = (data.record(1, 2, ["x"], RNG)["x"] for data in (train, train, val))
    assert bands.shape == (24, 32, len(BANDS)) and bands.dtype == np.uint16
    assert (bands == again).all() and (bands != other).any()


def test_the_bands_follow_from_the_land_cover() -> None:
    rng, seen = np.random.default_rng(5), dict[int, list[Any]]()
    for _ in range(40):
        land = covers((48, 48), rng)
        bands = measured(land, rng)
        for cover in np.unique(land % 10):
            seen.setdefault(int(cover), []).append(bands[land % 10 == cover])
    assert seen.keys() == {*range(len(COVERS))}
    for cover, means in enumerate(COVERS.values()):
        found = np.concatenate(seen[cover])
        np.testing.assert_allclose(np.median(found, axis=0), means, rtol=0.1, atol=NOISE)
        residual = found[:, 1] / means[1] - found[:, 2] / means[2]  # brightness and texture are alike in all bands
        assert residual.std() == pytest.approx(NOISE * np.hypot(1 / means[1], 1 / means[2]), rel=0.15)


def test_the_picture_has_the_visible_bands_in_8_bits() -> None:
    data = Land(image_size=(24, 24))
    bands, picture = data.record(1, 0, ["x"], RNG)["x"], np.asarray(data.record(0, 0, ["x"], RNG)["x"])
    back = (picture / 255.0) ** 1.8 * WHITE
    np.testing.assert_allclose(back, bands[..., [2, 1, 0]].clip(0, WHITE), atol=1.8 * WHITE / 255 / 2 + 1)


@pytest.mark.parametrize("shift", [0, 1])
def test_every_16_bit_value_of_a_raster_survives_reading_and_writing(tmp_path: Any, shift: int) -> None:
    form = Raster(channels=4, range=(0, 65535))
    array = (np.arange(2**16) + shift).astype(np.uint16).reshape(128, 128, 4)
    (tmp_path / "all.tif").write_bytes(form.file(array, ".tif"))
    read = form.read(tmp_path / "all.tif")
    assert read.dtype == np.uint16
    back = form.decode(form.encode(form.fit(read, (128, 128))[None], torch.float32)[0])
    assert back.dtype == np.uint16
    assert (back == array).all()


def test_the_drawn_rasters_are_in_their_range() -> None:
    data = Land(image_size=(48, 48))
    for index in range(10):
        bands = data.record(1, index, ["x"], RNG)["x"]
        assert data.formats["bands"].converted(bands) is bands
        assert RANGE[0] <= bands.min() and bands.max() <= RANGE[1]
