"""Tests that the settings of an original checkpoint follow from the shapes of its tensors."""

from __future__ import annotations

import pytest
import torch

from i2i_core.errors import CheckpointError
from i2i_stargan_v2.original import understood

EMA = ("generator", "mapping_network", "style_encoder")


@pytest.mark.parametrize(
    ("name", "domains", "w_hpf"), [("afhq64", ["cat", "dog", "wild"], 0), ("celeba64", ["female", "male"], 1)]
)
def test_sizes_and_settings_follow_from_the_tensors(flat, name: str, domains: list[str], w_hpf: float) -> None:
    found = understood(flat(name, EMA), "nets.ckpt")
    assert (found.image_size, found.domains, found.w_hpf) == ((64, 64), domains, w_hpf)
    assert (found.latent_dim, found.hidden_dim, found.style_dim) == (16, 512, 64)
    assert (found.channel_base, found.max_channels) == (1024, 64)


@pytest.mark.parametrize("w_hpf", [0.5, 1, 2, 3, 10])
def test_w_hpf_follows_from_the_filter(flat, w_hpf: float) -> None:
    content = flat("celeba64", EMA)
    content["generator/module.hpf.filter"] = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / w_hpf
    assert understood(content, "nets.ckpt").w_hpf == w_hpf


def test_w_hpf_is_1_or_what_is_said_where_the_file_has_a_filter_without_its_tensor(flat) -> None:
    content = flat("celeba64", EMA)
    del content["generator/module.hpf.filter"]
    assert understood(content, "nets.ckpt").w_hpf == 1
    assert understood(content, "nets.ckpt", 0.5).w_hpf == 0.5
    assert understood(flat("afhq64", EMA), "nets.ckpt", 0.5).w_hpf == 0


@pytest.mark.parametrize("kernel", [torch.zeros(3, 3), torch.ones(9), torch.full((3, 3), torch.nan)])
def test_a_filter_that_is_none_is_refused(flat, kernel: torch.Tensor) -> None:
    with pytest.raises(CheckpointError) as error:
        understood({**flat("celeba64", EMA), "generator/module.hpf.filter": kernel}, "nets.ckpt")
    assert str(error.value) == "nets.ckpt has a generator whose hpf.filter is not a high-pass filter"
