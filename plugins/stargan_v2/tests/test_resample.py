"""Convolutions merged with their resampling equal what they are defined as."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

from i2i_stargan_v2.resample import DownConv, UpConv


@pytest.mark.parametrize(("layer", "size"), [(UpConv, (2, 3)), (DownConv, (4, 6)), (DownConv, (5, 7))])
def test_merged_resampling_equals_plain_up_to_second_derivatives(
    layer: type[UpConv | DownConv], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    conv = layer(2, 3).double()
    x = torch.randn(2, 2, *size, dtype=torch.float64, requires_grad=True)

    def derivatives(out: Tensor) -> list[Tensor]:
        weights = [conv.weight, conv.bias]
        (v,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        return [out, v, *torch.autograd.grad(v.square().sum(), [x, *weights])]

    monkeypatch.setattr("i2i_stargan_v2.resample.LEAST_POSITIONS", 0)
    torch.testing.assert_close(derivatives(conv(x)), derivatives(conv.plain(x)), rtol=1e-12, atol=1e-11)

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight": weight, "bias": bias}, x)

    assert torch.autograd.gradcheck(call, (x, conv.weight, conv.bias))
    assert torch.autograd.gradgradcheck(call, (x, conv.weight, conv.bias))


def test_merging_depends_on_the_number_of_pixels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for layer, factor in ((UpConv, 1), (DownConv, 2)):
        conv = layer(1, 1)
        monkeypatch.setattr(conv, "plain", lambda x: "plain")
        monkeypatch.setattr(conv, "merged", lambda x, kernel: "merged")
        assert conv(torch.zeros(2, 1, 8 * factor, 8 * factor)) == "merged"
        assert conv(torch.zeros(1, 1, 8 * factor, 8 * factor)) == "plain"


@pytest.mark.parametrize("layer", [UpConv, DownConv])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_all_ways_through_a_merged_convolution_agree(
    layer: type[UpConv | DownConv], memory_format: torch.memory_format
) -> None:
    """In training, in inference (where the kernel is made once), after the weights changed, in either memory format."""
    torch.manual_seed(0)
    conv = layer(4, 3).double().to(memory_format=memory_format)
    x = torch.randn(2, 4, 16, 16, dtype=torch.float64).contiguous(memory_format=memory_format)
    for _ in range(2):
        with torch.no_grad():
            conv.weight.mul_(1.5)
            plain = conv.plain(x)
            torch.testing.assert_close(conv.eval()(x), plain)
            assert conv._made_once(conv.weight) is conv._made_once(conv.weight)
        torch.testing.assert_close(conv.train()(x), plain)


@pytest.mark.parametrize("layer", [UpConv, DownConv])
def test_a_step_of_training_is_seen_in_inference(layer: type[UpConv | DownConv]) -> None:
    """The optimizer is fused; its steps do not increase the version of the weights."""
    torch.manual_seed(0)
    conv, x = layer(2, 2), torch.randn(2, 2, 16, 16)
    optimizer = torch.optim.Adam(conv.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(conv.eval()(x), conv.plain(x))
        conv.train()(x).square().sum().backward()
        optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(conv.eval()(x), conv.plain(x))


@pytest.mark.parametrize("layer", [UpConv, DownConv])
def test_weights_that_change_before_the_backward_pass_are_an_error(layer: type[UpConv | DownConv]) -> None:
    conv = layer(1, 1)
    out = conv(torch.zeros(2, 1, 16, 16, requires_grad=True))
    with torch.no_grad():
        conv.weight.mul_(1.5)
    with pytest.raises(RuntimeError, match="were changed between"):
        out.sum().backward()


@pytest.mark.parametrize("layer", [UpConv, DownConv])
def test_spectral_normed_weights_are_made_once_for_both_passes(layer: type[UpConv | DownConv]) -> None:
    torch.manual_seed(0)
    ours = spectral_norm(layer(4, 6).double())
    theirs = copy.deepcopy(ours)
    x = torch.randn(2, 4, 16, 16, dtype=torch.float64, requires_grad=True)
    found = []
    for conv, out in ((ours, ours(x)), (theirs, theirs.plain(x))):
        gradients = torch.autograd.grad(out.square().sum(), [x, *conv.parameters()])
        found.append([out, *gradients, *conv.buffers()])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("layer", [UpConv, DownConv])
@torch.no_grad()
def test_an_average_of_spectral_normed_weights_is_seen_in_inference(layer: type[UpConv | DownConv]) -> None:
    torch.manual_seed(0)
    conv, x = spectral_norm(layer(4, 6).double()).eval(), torch.randn(2, 4, 16, 16, dtype=torch.float64)
    for _ in range(10):
        torch._foreach_lerp_(list(conv.parameters()), [torch.randn_like(p) for p in conv.parameters()], 0.5)
        torch.testing.assert_close(conv(x), conv.plain(x))


@pytest.mark.parametrize("layer", [UpConv, DownConv])
@torch.no_grad()
def test_weights_that_change_behind_autograd_are_seen_in_the_next_inference(layer: type[UpConv | DownConv]) -> None:
    """As an average by somebody's hook may."""
    conv, x = layer(2, 2), torch.randn(2, 2, 16, 16)
    for _ in range(2):
        torch.testing.assert_close(conv.eval()(x), conv.plain(x))
        conv.weight.data.mul_(2.0)


@pytest.mark.parametrize("layer", [UpConv, DownConv])
def test_a_convolution_that_is_computed_again_keeps_nothing(layer: type[UpConv | DownConv]) -> None:
    torch.manual_seed(0)
    conv, x, kept = layer(2, 2), torch.randn(2, 2, 16, 16, requires_grad=True), []

    def gave(x: Tensor) -> Tensor:
        made = x + 1
        kept.append(weakref.ref(made))
        return conv(made)

    out = checkpoint(gave, x, use_reentrant=False)
    assert kept[0]() is None
    (plain,) = torch.autograd.grad(conv.plain(x + 1).sum(), x)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), x), (plain,))
