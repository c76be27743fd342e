"""The four networks compute what the reference computes, under its names, for any size that fits."""

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from i2i_stargan_v2.check import STYLE_DIM
from i2i_stargan_v2.golden_fill import fill, inputs
from i2i_stargan_v2.networks import (
    Discriminator,
    Generator,
    MappingNetwork,
    Skip,
    StyleEncoder,
    _all_heads,
    _per_domain,
)

GOLDEN = Path(__file__).parent / "golden"
CASES = ["afhq64", "celeba64", "afhq256_full", "celeba256_full"]
SMALL: dict[str, Any] = {"channel_base": 256, "max_channels": 8}


class HighPass(nn.Module):
    """The seed's high pass, as a skip."""

    sizes = (32, 64, 128)

    def forward(self, features: Tensor, masks: tuple[Tensor, Tensor]) -> Tensor:
        size = features.shape[2:]
        mask = F.interpolate(masks[0] if size[0] == 32 else masks[1], size=size, mode="bilinear")
        kernel = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]], dtype=features.dtype)
        channels = features.shape[1]
        return F.conv2d(mask * features, kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)


def networks(case: dict[str, Any]) -> dict[str, nn.Module]:
    size: dict[str, Any] = {
        "image_size": (case["image_size"], case["image_size"]),
        "channel_base": case["channel_base"],
        "max_channels": case["max_channels"],
    }
    domains = {"num_domains": case["num_domains"]}
    return {
        "generator": Generator(**size, skip=HighPass() if case["w_hpf"] else None),
        "mapping_network": MappingNetwork(**domains),
        "style_encoder": StyleEncoder(**size, **domains),
        "discriminator": Discriminator(**size, **domains),
    }


def read_case(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


# What the reference computes


@pytest.mark.parametrize("name", CASES)
def test_names_and_shapes_of_the_parameters_are_the_references(name: str) -> None:
    keys = json.loads((GOLDEN / f"{name}.keys.json").read_text())
    with torch.device("meta"):
        nets = networks(read_case(name))
    for net_name, net in nets.items():
        expected = {key: tuple(shape) for key, shape in keys[net_name].items() if key != "hpf.filter"}
        assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == expected


@pytest.mark.parametrize(
    ("num_domains", "w_hpf", "counts"),
    [(2, 1, (43_467_395, 2_438_272, 20_916_928, 20_852_290)), (3, 0, (33_892_995, 3_259_072, 20_949_760, 20_852_803))],
)
def test_parameter_counts_at_256_px(num_domains: int, w_hpf: int, counts: tuple[int, ...]) -> None:
    case = {"image_size": 256, "num_domains": num_domains, "channel_base": 2**14, "max_channels": 512}
    with torch.device("meta"):
        nets = networks({**case, "w_hpf": w_hpf}).values()
    assert tuple(sum(p.numel() for p in net.parameters()) for net in nets) == counts


@pytest.mark.parametrize("name", CASES)
def test_networks_compute_what_the_reference_computes(name: str) -> None:
    case = read_case(name)
    dtype = getattr(torch, case["dtype"])
    nets = networks(case)
    for net_name, net in nets.items():
        fill(net, net_name, dtype)
    given = inputs(name, case["batch"], case["image_size"], case["num_domains"], dtype)
    x_real, y_trg = given["x_real"], given["y_trg"]
    with torch.no_grad():
        s_latent = nets["mapping_network"](given["z_trg"], y_trg)
        s_reference = nets["style_encoder"](given["x_ref"], y_trg)
        computed = {
            "mapping_network": s_latent,
            "style_encoder": s_reference,
            "discriminator": nets["discriminator"](x_real, given["y_org"]),
        }
        if case["w_hpf"]:  # with masks they need FAN, another plugin
            computed["generator.no_masks"] = nets["generator"](x_real, s_latent)
        else:
            computed["generator.latent"] = nets["generator"](x_real, s_latent)
            computed["generator.reference"] = nets["generator"](x_real, s_reference)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    with np.load(GOLDEN / f"{name}.npz") as golden:
        for key, value in computed.items():
            if key.startswith("generator"):
                value = value[..., :: case["pixel_stride"], :: case["pixel_stride"]]
            expected = torch.from_numpy(golden[key])
            assert value.shape == expected.shape
            assert (value - expected).abs().max() <= tolerance * expected.abs().max(), key


# The skip


def with_skip() -> tuple[Generator, Tensor, Tensor, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    G = Generator(image_size=(64, 64), **SMALL, skip=HighPass()).double()
    double = {"dtype": torch.float64}
    masks = torch.rand(2, 1, 64, 64, **double), torch.rand(2, 1, 64, 64, **double)
    return G, torch.randn(2, 3, 64, 64, **double), torch.randn(2, 64, **double), masks


def test_skip_follows_the_decoder_block_of_its_size() -> None:
    G, x, s, masks = with_skip()
    assert isinstance(G.skip, Skip)
    h = G.from_rgb(x)
    cache = {}
    for block in G.encode:
        cache[h.shape[2]] = h
        h = block(h)
    for block in G.decode:
        h = block(h, s)
        if h.shape[2] in (32, 64):
            h = h + HighPass()(cache[h.shape[2]], masks)
    torch.testing.assert_close(G(x, s, masks), G.to_rgb(h))
    assert not torch.allclose(G(x, s, masks), G(x, s))


def test_content_keeps_features_for_the_skip_only() -> None:
    G, x, s, masks = with_skip()
    content = G.encode(x)
    assert content.features.shape == (2, 8, 8, 8)
    assert sorted(content.skips) == [32, 64]
    torch.testing.assert_close(G.decode(content, s, masks), G(x, s, masks))
    assert Generator(image_size=(64, 64), **SMALL).double().encode(x).skips == {}


def test_of_several_blocks_at_one_size_the_last_feeds_the_skip() -> None:
    G = Generator(image_size=(128, 32), **SMALL, skip=HighPass())  # its two bottleneck blocks have height 32
    bottleneck_inputs = []
    for block in list(G.encode)[-2:]:
        block.register_forward_pre_hook(lambda _, args: bottleneck_inputs.append(args[0]))
    content = G.encode(torch.randn(1, 3, 128, 32))
    assert content.skips[32] is bottleneck_inputs[-1]


def test_the_skips_own_weights_are_registered_once_and_not_initialised_again() -> None:
    class Learned(HighPass):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

    skip = Learned()
    before = skip.conv.weight.clone()
    G = Generator(image_size=(64, 64), **SMALL, skip=skip)
    assert [name for name in G.state_dict() if "skip" in name] == ["skip.conv.weight", "skip.conv.bias"]
    assert torch.equal(skip.conv.weight, before)


def test_parameters_without_gradient_are_the_shortcuts_that_a_skip_turns_off() -> None:
    G, x, s, masks = with_skip()
    G(x, s, masks).square().sum().backward()
    unused = {name for name, p in G.named_parameters() if p.grad is None}
    assert unused == {name for name, p in G.named_parameters() if not p.requires_grad}
    assert unused == {name for name in G.state_dict() if name.startswith("decode") and "conv1x1" in name}
    assert len(unused) == 1


# Sizes


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (64, 96), (96, 64), (112, 80)])
def test_any_size_that_can_be_halved_often_enough_works(size: tuple[int, int]) -> None:
    G = Generator(image_size=size, **SMALL)
    E = StyleEncoder(image_size=size, **SMALL, num_domains=2)
    D = Discriminator(image_size=size, **SMALL, num_domains=2)
    x, y = torch.randn(2, 3, *size), torch.tensor([0, 1])
    x_fake = G(x, E(x, y))
    assert x_fake.shape == x.shape
    assert D(x_fake, y).shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": (100, 64)}, "multiples of 16, for example 96x64"),
        ({"image_size": (8, 64)}, "at least 16"),
        ({"image_size": (512, 512), "channel_base": 256}, "channel_base 256 leaves no channels"),
        ({"image_size": (96, 96), "skip": HighPass()}, r"heights \[96, 48, 24, 12\]"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_with_what_would(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Generator(**arguments)


# Domains


def test_each_row_passes_its_own_head_and_other_heads_get_no_gradient() -> None:
    F_ = MappingNetwork(num_domains=4, hidden_dim=8, style_dim=5)
    z, y = torch.randn(5, 16), torch.tensor([3, 0, 3, 2, 0])
    s = F_(z, y)
    h = F_.shared(z)
    for row, domain in enumerate(y):
        torch.testing.assert_close(s[row], F_.unshared[domain](h)[row])
    s.sum().backward()
    assert [head[0].weight.grad is not None for head in F_.unshared] == [True, False, True, True]


@pytest.mark.parametrize("of", [MappingNetwork, StyleEncoder])
def test_all_heads_at_once_compute_what_rows_grouped_by_domain_compute(of: Any) -> None:
    torch.manual_seed(0)
    own: dict[str, Any] = {"hidden_dim": 8} if of is MappingNetwork else {"image_size": (32, 32), **SMALL}
    network = of(num_domains=4, style_dim=5, **own).double()
    for p in network.parameters():
        nn.init.normal_(p)
    y = torch.tensor([3, 0, 3, 2, 0])  # no row for head 1
    h = torch.randn(5, network.unshared[0][0].in_features if of is MappingNetwork else 8, dtype=torch.float64)
    h.requires_grad_()
    weights, found = torch.randn(5, 5, dtype=torch.float64), []
    for s in (_per_domain(network.unshared, h, y), _all_heads(network.unshared, h)[y, torch.arange(5)]):
        given = [h, *network.unshared.parameters()]
        found.append([s, *torch.autograd.grad((s * weights).sum(), given, materialize_grads=True)])
    for grouped, at_once in zip(*found, strict=True):
        torch.testing.assert_close(at_once, grouped, rtol=1e-12, atol=1e-12)


# Being a module among torch's tools


def test_copies_functional_calls_and_submodules_see_the_borrowed_layers() -> None:
    G, x, s, masks = with_skip()
    twin = copy.deepcopy(G)
    nn.init.zeros_(twin.to_rgb[2].weight)
    assert torch.equal(twin(x, s, masks), torch.zeros_like(x))
    weights = {"to_rgb.2.weight": twin.to_rgb[2].weight, "to_rgb.2.bias": twin.to_rgb[2].bias}
    assert torch.equal(torch.func.functional_call(G, weights, (x, s, masks)), torch.zeros_like(x))
    assert G.get_submodule("encode.0.conv1") is G.encode[0].conv1


def test_initialisation_is_hes_with_zero_biases() -> None:
    G = Generator(image_size=(64, 64), channel_base=4096, max_channels=64)
    for name, p in G.state_dict().items():
        if p.dim() >= 2 and p.numel() > 4000:
            assert p.std() == pytest.approx((2 / p[0].numel()) ** 0.5, rel=0.1), name
        elif name.endswith("bias"):
            assert not p.any(), name


def test_one_export_serves_every_batch_and_domain() -> None:
    G = Generator(image_size=(64, 64), **SMALL, skip=HighPass())
    F_ = MappingNetwork(num_domains=3, hidden_dim=8)
    x, z, y = torch.randn(5, 3, 64, 64), torch.randn(5, 16), torch.tensor([2, 0, 1, 1, 2])
    s = F_(z, y)
    n = {0: torch.export.Dim("n")}
    exported_G = torch.export.export(G, (x[:2], s[:2]), dynamic_shapes=(n, n))
    exported_F = torch.export.export(F_, (z[:2], y[:2]), dynamic_shapes=(n, n))
    torch.testing.assert_close(exported_F.module()(z, y), s)
    torch.testing.assert_close(exported_G.module()(x, s), G(x, s), rtol=1e-4, atol=1e-4)


def test_generator_runs_in_bfloat16_beside_a_skip_in_float32() -> None:
    G, x, s, masks = with_skip()
    expected = G(x, s, masks)
    G.float().skip.register_forward_hook(lambda _, args, out: out.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x_fake = G(x.float(), s.float(), tuple(mask.float() for mask in masks))
    assert (x_fake - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize("network", [Generator, MappingNetwork, StyleEncoder])
def test_the_check_of_recipes_knows_the_default_length_of_a_style(network):
    """The check must not import torch, so it has a copy."""
    assert inspect.signature(network).parameters["style_dim"].default == STYLE_DIM


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_spectral_norms_iterate_once_a_forward_and_never_else(memory_format: torch.memory_format) -> None:
    network = Generator(image_size=(32, 32), channel_base=256, max_channels=16)
    calls: list[nn.Module] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        spectral_norm(layer).parametrizations.weight[0].register_forward_hook(lambda norm, *_: calls.append(norm))
    network.to(memory_format=memory_format)
    assert calls == []
    network(torch.randn(2, 3, 32, 32), torch.randn(2, 64))
    assert len(calls) == len(set(calls)) == len(layers)
