"""R1's gradients in four passes are autograd's own, and where D allows no such thing, autograd does it."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from i2i_core.training.losses.penalties import r1
from i2i_stargan_v2.networks import Discriminator
from i2i_stargan_v2.r1 import _Tape, logits_for_r1

torch.manual_seed(0)
X = torch.randn(4, 3, 32, 32, dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 1])


def with_biases(network: nn.Module) -> nn.Module:
    for p in network.parameters():
        if p.dim() == 1:
            nn.init.normal_(p)
    return network.double()


def stargan_d() -> nn.Module:
    return with_biases(Discriminator(image_size=(32, 32), num_domains=3, channel_base=256, max_channels=16))


def gradients(network, call, penalty=r1, adversarial=1.0):
    x = X.clone().requires_grad_()
    logits = call(network, x, Y)
    loss = adversarial * F.softplus(-logits).mean()
    if penalty is not None:
        loss = loss + 3 * penalty(logits, x)
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return [loss.detach(), *(torch.zeros(()) if g is None else g for g in found)]


def plain(network, x, y):
    return network(x, y)


def agree(network, **how):
    for ours, theirs in zip(gradients(network, logits_for_r1, **how), gradients(network, plain, **how), strict=True):
        torch.testing.assert_close(ours, theirs.to(ours), rtol=1e-11, atol=1e-12)


def in_four_passes(network) -> bool:
    return type(logits_for_r1(network, X.clone().requires_grad_(), Y).grad_fn).__name__ == "_LogitsBackward"


def towards_one(logits, x):
    """Another penalty than R1: WGAN-GP's."""
    (v,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return (v.flatten(1).norm(dim=1) - 1).square().mean()


def weighted_logits(logits, x):
    (v,) = torch.autograd.grad((logits * torch.arange(1.0, 5.0).to(x)).sum(), x, create_graph=True)
    return v.square().mean() + v.abs().mean()


def twice(logits, x):
    return r1(logits, x) + 0.5 * weighted_logits(logits, x)


@pytest.mark.parametrize("penalty", [r1, towards_one, weighted_logits, twice, None])
@pytest.mark.parametrize("adversarial", [1.0, 0.0])
def test_gradients_are_those_of_double_backward(penalty, adversarial):
    network = stargan_d()
    assert in_four_passes(network)
    agree(network, penalty=penalty, adversarial=adversarial)


class Of(nn.Module):
    """A small D around `middle`, which maps (N, 4, 32, 32) to (N, anything)."""

    def __init__(self, middle, logits=1):
        super().__init__()
        self.first, self.middle, self.last = nn.Conv2d(3, 4, 3, padding=1), middle, nn.LazyLinear(logits)

    def forward(self, x, y):
        return self.last(self.middle(self.first(x)).flatten(1)).squeeze(1)


def of(middle, logits=1) -> nn.Module:
    network = Of(middle, logits).double()
    network(X, Y)
    return with_biases(network)


class Twice(nn.Module):
    """One convolution used twice, in a residual sum with a scaled shortcut."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)

    def forward(self, x):
        return self.conv(F.relu(self.conv(x))) * 0.5 + F.interpolate(F.avg_pool2d(x, 2), scale_factor=2) / 3


class Listed(nn.Conv2d):
    """With lists where others have tuples."""

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, stride=[2, 1], padding=[1], dilation=[1, 2])


@pytest.mark.parametrize(
    "middle",
    [
        Twice(),
        Listed(4, 4, 3),
        nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, dilation=2, bias=False), nn.ReLU()),
        nn.Sequential(nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)),
        spectral_norm(nn.Conv2d(4, 4, 3)).eval(),
        nn.Sequential(nn.Flatten(), nn.Linear(4096, 8), nn.LeakyReLU(0.3)),
    ],
)
def test_whatever_is_piecewise_linear_takes_four_passes(middle):
    network = of(middle)
    assert in_four_passes(network)
    agree(network)


class Halves(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        return a * b


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean((2, 3), keepdim=True)


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.ones(1, 4, 1, 1))

    def forward(self, x):
        return x + self.shift


class Scaled(Shifted):
    def forward(self, x):
        return x * self.shift


class InPlace(nn.Module):
    def forward(self, x):
        x = x * 1.0
        x[:, :, 3] = 0.0
        return x.add_(1.0)


class ScaledBelow(nn.Module):
    """In place through a view: what the view is of changes too."""

    def forward(self, x):
        x = x * 1.0
        x.view(-1, 4 * 32 * 32).mul_(3.0)
        return x


class ScaledAfter(nn.Module):
    """In place, after something was made of it."""

    def forward(self, x):
        x = x * 1.0
        y = F.interpolate(x, scale_factor=1.0)
        return x.mul_(3.0) + y


class Mixed(nn.Module):
    """Pictures that see each other."""

    def forward(self, x):
        return x.flatten(0, 1).view(4, 4, 32, 32).flip(0)


class Swapped(nn.Module):
    """Pictures that are each other's, by positional and named arguments."""

    def forward(self, x):
        index = torch.tensor([1, 0, 3, 2])[:, None, None, None].expand(4, 4, 32, 32)
        return torch.gather(x.gather(0, index), dim=-4, index=index.roll(1, 0))


class Named(nn.Conv2d):
    def forward(self, x):
        return torch.cat(tensors=[F.conv2d(input=x, weight=self.weight), x[:, :, 1:-1, 1:-1]], dim=1)


class Constant(nn.Conv2d):
    """Features without a graph."""

    def forward(self, x):
        with torch.no_grad():
            features = super().forward(x)
        return features + x[:, :, 1:-1, 1:-1]


class Attention(nn.Module):
    """Network with a factor that autograd treats as constant."""

    def forward(self, x):
        with torch.no_grad():
            signs = F.leaky_relu(x)
        return signs + x * 1.0


class Unseen(nn.Module):
    """Changed in place, of which autograd is not told."""

    def forward(self, x):
        x = x * 1.0
        with torch.no_grad():
            return x.mul_(2.0)


class OtherBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2.0

    @staticmethod
    def backward(ctx, g):
        return g * 3.0


class Backward(nn.Module):
    """Not the derivative of what is done forward."""

    def forward(self, x):
        return OtherBackward.apply(x)


class Rounded(nn.Module):
    def forward(self, x):
        return torch.div(x, 0.5, rounding_mode="floor") + x.div(0.5)


class Rows(nn.Module):
    """Pictures' rows become columns: a map of each is broadcast to all."""

    def forward(self, x):
        conv = F.conv2d(x, torch.ones(1, 4, 1, 1, dtype=x.dtype)).squeeze(1)
        return x + conv


class Columns(nn.Module):
    def forward(self, x):
        return F.adaptive_avg_pool2d(x, 1).flatten(1) * torch.ones(4, 4, 4, dtype=x.dtype)


class Unbatched(nn.Conv2d):
    """Four pictures as the channels of one."""

    def forward(self, x):
        return super().forward(x.flatten(1, 2))


@pytest.mark.parametrize(
    "middle",
    [
        Named(4, 4, 3),
        Constant(4, 4, 3),
        Attention(),
        Unseen(),
        Backward(),
        Rounded(),
        Rows(),
        Columns(),
        Unbatched(4, 4, 3),
        Swapped(),
        nn.Tanh(),
        nn.InstanceNorm2d(4),
        nn.BatchNorm2d(4),
        Halves(),
        Centred(),
        Shifted(),
        Scaled(),
        InPlace(),
        Mixed(),
        ScaledBelow(),
        ScaledAfter(),
        nn.LeakyReLU(-0.2),
        nn.PReLU(),
        nn.GELU(),
        nn.Conv2d(4, 4, 3, padding="same"),
    ],
    ids=repr,
)
def test_everything_else_is_left_to_autograd(middle):
    network = of(middle)
    assert not in_four_passes(network)
    agree(network)


def test_a_discriminator_with_many_logits_is_left_to_autograd():
    network = of(nn.Identity(), logits=5)
    x = X.clone().requires_grad_()
    assert logits_for_r1(network, x, Y).shape == (4, 5)
    assert not in_four_passes(network)


def test_a_network_outside_of_a_graph_is_only_called():
    network = stargan_d()
    with torch.no_grad():
        assert torch.equal(logits_for_r1(network, X, Y), network(X, Y))


def test_a_second_backward_pass_is_an_error_and_not_without_gradients():
    network, x = stargan_d(), X.clone().requires_grad_()
    logits = logits_for_r1(network, x, Y)
    penalty, adversarial = r1(logits, x), logits.mean()
    adversarial.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once: call backward on the sum of all their losses"):
        penalty.backward()


def test_the_gradient_by_the_picture_is_there_without_a_penalty():
    network, x = stargan_d(), X.clone().requires_grad_()
    ours, theirs = (torch.autograd.grad(call(network, x, Y).sum(), x)[0] for call in (logits_for_r1, plain))
    torch.testing.assert_close(ours, theirs)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive():
    """Tensors, and what could keep some that Python does not see."""
    return {id(o) for o in gc.get_objects() if issubclass(type(o), torch.Tensor | _Tape | torch.autograd.Function)}


@pytest.mark.parametrize("penalty", [r1, None])
def test_nothing_outlives_the_backward_pass_though_no_garbage_is_collected(no_collector, penalty):
    network = stargan_d()
    before = alive()
    loss = gradients(network, logits_for_r1, penalty=penalty)[0]
    assert alive() - before == {id(loss)}
