"""Tests that hold for all augmenting wrappers, for any network and any random numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from i2i_regularize.ada import ADA
from i2i_regularize.augmented import Augmented, pick
from i2i_regularize.diffaugment import DiffAugment


class Echo(nn.Module):
    """Gives back what it was called with."""

    def forward(self, *inputs, **named):
        return inputs, named


@pytest.fixture(params=[DiffAugment, ADA])
def wrapper(request: pytest.FixtureRequest) -> Augmented:
    """Around an Echo; ADA with p = 1."""
    torch.manual_seed(0)
    made: Augmented = request.param(Echo())
    for p in made.buffers():
        p.fill_(1)
    return made


def pictures(n: int = 3, *, dtype: torch.dtype = torch.float32, height: int = 16, width: int = 24) -> Tensor:
    return (torch.rand(n, 3, height, width, dtype=torch.float64) * 2 - 1).to(dtype)


def test_in_eval_mode_it_is_the_network(wrapper: Augmented) -> None:
    x = pictures()
    (seen,), _ = wrapper.eval()(x)
    assert seen is x
    (seen,), _ = wrapper.train()(x)
    assert not seen.equal(x)


def test_what_is_no_picture_passes_through(wrapper: Augmented) -> None:
    y, z, masks = torch.tensor([0, 1, 0]), torch.rand(3, 8), torch.ones(3, 1, 16, 24, dtype=torch.bool)
    (_, seen_y), named = wrapper(pictures(), y, z=z, masks=masks, scale=2)
    assert seen_y is y
    assert (named["z"] is z, named["masks"] is masks, named["scale"]) == (True, True, 2)
    assert wrapper(y)[0] == (y,)


def test_the_pictures_of_a_call_are_augmented_alike_and_those_of_the_next_otherwise(wrapper: Augmented) -> None:
    x = pictures()
    (one,), named = wrapper(x, other=x.clone())
    assert one.equal(named["other"])
    assert not wrapper(x)[0][0].equal(one)
    assert not one[0].equal(wrapper(x[:1].expand(3, -1, -1, -1))[0][0][1]), "each picture of a batch has its own draws"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_network_sees_the_type_that_was_given(wrapper: Augmented, dtype: torch.dtype) -> None:
    assert wrapper(pictures(dtype=dtype))[0][0].dtype == dtype


def test_bf16_pictures_are_those_of_float32_rounded_also_under_autocast(wrapper: Augmented) -> None:
    x = pictures(dtype=torch.bfloat16, height=8, width=512)  # bf16 cannot count to 512
    torch.manual_seed(1)
    (wide,), _ = wrapper(x.float())
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        (seen,), _ = wrapper(x)
    torch.testing.assert_close(seen, wide.bfloat16())
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        (seen,), _ = wrapper(x.float())
    torch.testing.assert_close(seen, wide)


def test_the_same_seed_draws_the_same(wrapper: Augmented) -> None:
    x, seen = pictures(), []
    for _ in range(2):
        torch.manual_seed(2)
        seen.append(wrapper(x)[0][0])
    assert seen[0].equal(seen[1])


def test_a_copy_is_another_network_with_the_same_numbers(wrapper: Augmented) -> None:
    copied = copy.deepcopy(wrapper)
    assert copied.network is not wrapper.network
    for mine, its in zip(copied.buffers(), wrapper.buffers(), strict=True):
        assert mine.equal(its)
        assert mine is not its


def test_gradients_of_any_order_pass(wrapper: Augmented) -> None:
    x = pictures(2, dtype=torch.float64, height=5, width=6).requires_grad_()
    draws = wrapper.draw(2, x.device, x.dtype)
    assert torch.autograd.gradcheck(lambda x: wrapper.augment(x, draws), x)
    assert torch.autograd.gradgradcheck(lambda x: wrapper.augment(x, draws).square(), x)


def test_r1_of_a_wrapped_network_is_differentiable(wrapper: Augmented) -> None:
    wrapper.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.LazyLinear(1))
    x = pictures().requires_grad_()
    (gradient,) = torch.autograd.grad(wrapper(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in wrapper.network[0].parameters())


def test_pixels_are_picked_where_they_are() -> None:
    x = pictures(2)
    rows, columns = torch.randint(16, (2, 16, 24)), torch.randint(24, (2, 16, 24))
    picked = pick(x, rows, columns)
    for n, i, j in [(0, 0, 0), (1, 15, 23), (0, 7, 11), (1, 3, 20)]:
        assert picked[n, :, i, j].equal(x[n, :, rows[n, i, j], columns[n, i, j]])
