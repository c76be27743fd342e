"""Spectral norm: every layer's largest singular value is 1, with gradients of any order and bits that last."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from i2i_regularize.spectral import spectral_norm


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.Softplus(),
        nn.ConvTranspose2d(6, 4, 2, stride=2),
        nn.InstanceNorm2d(4),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 5),
    ).double()


def pictures() -> Tensor:
    return torch.rand(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def largest(layer: nn.Module) -> float:
    """The largest singular value of its weight, with a row per output channel."""
    weight = layer.weight.detach()
    rows = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
    return float(torch.linalg.matrix_norm(rows.flatten(1), ord=2))


def test_the_largest_singular_value_of_every_layer_is_1() -> None:
    plain, network = make_network(), spectral_norm(make_network())
    for _ in range(200):
        network(pictures())
    network.eval()
    for layer, before in [(network[i], plain[i]) for i in (0, 2, 5)]:
        assert largest(layer) == pytest.approx(1, abs=1e-6)
        assert abs(largest(before) - 1) > 0.05
        ratio = before.weight / layer.weight
        assert ratio.allclose(ratio.mean()), "a weight is scaled, no more"


def test_it_returns_the_network_and_what_that_can_do() -> None:
    network = make_network()
    network.extra = 7
    assert spectral_norm(network) is network
    assert network.extra == 7


def test_a_network_without_layers_to_normalise_is_refused() -> None:
    with pytest.raises(ValueError, match="^Sequential has no convolution or linear layer to normalise$"):
        spectral_norm(nn.Sequential(nn.InstanceNorm2d(3, affine=True), nn.ReLU()))


def test_a_network_that_is_sized_later_is_told() -> None:
    with pytest.raises(ValueError) as error:
        spectral_norm(nn.Sequential(nn.LazyConv2d(4, 3)))
    assert str(error.value) == (
        "Sequential has lazy layers, which get their sizes from the first batch; spectral_norm needs layers of "
        "known size"
    )


def test_gradients_of_any_order_pass() -> None:
    network = spectral_norm(make_network()).eval()
    x = pictures().requires_grad_()
    assert torch.autograd.gradcheck(network, x)
    assert torch.autograd.gradgradcheck(network, x)
    weights = [p for name, p in network.named_parameters() if name.endswith("original")]
    assert len(weights) == 3
    (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    of_r1 = torch.autograd.grad(gradient.square().sum(), weights)
    assert all(float(g.abs().sum()) > 0 for g in of_r1)


def test_real_and_fake_pictures_may_pass_before_one_backward() -> None:
    network = spectral_norm(make_network()).train()
    (network(pictures()).mean() - network(-pictures()).mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_copy_goes_on_as_the_original_does() -> None:
    network = spectral_norm(make_network())
    network(pictures())
    copied = copy.deepcopy(network)
    loaded = spectral_norm(make_network())
    loaded.load_state_dict(network.state_dict())
    for _ in range(3):
        expected = network(pictures())
        assert copied(pictures()).equal(expected)
        assert loaded(pictures()).equal(expected)
    fresh = spectral_norm(make_network())
    assert not fresh(pictures()).equal(expected), "the vectors of the power iteration make no difference"


def test_in_eval_mode_nothing_moves() -> None:
    network = spectral_norm(make_network()).eval()
    before = copy.deepcopy(network.state_dict())
    assert network(pictures()).equal(network(pictures()))
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())
