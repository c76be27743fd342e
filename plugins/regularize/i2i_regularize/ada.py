"""ADA's augmentations: training generative adversarial networks with limited data (Karras et al. 2020, appendix B).

Of the paper's pipeline the part that it found useful, "bgc": pixel blitting, geometry, colour.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .augmented import Augmented, pick


class Amounts(NamedTuple):
    """How much of each augmentation each of N pictures gets, in the order in which they act; 0 is none of it."""

    flip: Tensor
    """(N,): 1 mirrors left and right."""
    quarter: Tensor
    """(N,): quarter turns, 0 to 3."""
    shift: Tensor
    """(2, N): right and down, as a share of the width and height, rounded to pixels."""
    scale: Tensor
    """(N,): log2 of the factor."""
    turn: Tensor
    """(N,): radians, before the stretch."""
    stretch: Tensor
    """(N,): log2 of the factor in width, whose inverse is the one in height."""
    turn_after: Tensor
    """(N,): radians, after the stretch."""
    move: Tensor
    """(2, N): like `shift`, not rounded."""
    brightness: Tensor
    """(N,): is added."""
    contrast: Tensor
    """(N,): log2 of the factor."""
    luma: Tensor
    """(N,): 1 turns light into dark and keeps the colours."""
    hue: Tensor
    """(N,): radians around the axis of greys."""
    saturation: Tensor
    """(N,): log2 of the factor."""


class ADA(Augmented):
    """A discriminator that sees pictures changed by 13 augmentations, each with probability p (Karras et al. 2020).

    Flips, quarter turns and shifts by whole pixels; scaling, rotation, stretching and shifts; brightness, contrast,
    luma, hue and saturation, with the paper's strengths. p, a buffer that is saved with the network, starts at 0; the
    hook regularize/ada moves it. Nothing in eval mode. The pictures of a call, (N, C, H, W) in [-1, 1], are changed
    alike; C is 3, or 3 for each of several that are stacked. Other arguments pass through.
    """

    p: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.register_buffer("p", torch.zeros(()))

    def draw(self, n: int, device: torch.device, dtype: torch.dtype) -> Amounts:
        return draw(n, self.p.to(device, dtype))

    def augment(self, x: Tensor, draws: Amounts) -> Tensor:
        return recolour(sample(x, geometry(draws, *x.shape[2:])), draws)


def draw(n: int, p: Tensor) -> Amounts:
    """Amounts for n pictures, each with probability p, a 0-d tensor, else 0; on p's device and of its type."""
    either = 1 - (1 - p).sqrt()  # so that one of the two rotations happens with probability p

    def normal(deviation: float, *shape: int) -> Tensor:
        return torch.randn(*shape, n, device=p.device, dtype=p.dtype) * deviation

    def uniform(reach: float, *shape: int) -> Tensor:
        return (torch.rand(*shape, n, device=p.device, dtype=p.dtype) * 2 - 1) * reach

    def one_of(count: int) -> Tensor:
        return torch.randint(count, (n,), device=p.device).to(p.dtype)

    def maybe(amount: Tensor, probability: Tensor = p) -> Tensor:
        return amount * (torch.rand(n, device=p.device, dtype=p.dtype) < probability)

    return Amounts(
        flip=maybe(one_of(2)),
        quarter=maybe(one_of(4)),
        shift=maybe(uniform(0.125, 2)),
        scale=maybe(normal(0.2)),
        turn=maybe(uniform(math.pi), either),
        stretch=maybe(normal(0.2)),
        turn_after=maybe(uniform(math.pi), either),
        move=maybe(normal(0.125, 2)),
        brightness=maybe(normal(0.2)),
        contrast=maybe(normal(0.5)),
        luma=maybe(one_of(2)),
        hue=maybe(uniform(math.pi)),
        saturation=maybe(normal(1.0)),
    )


def geometry(amounts: Amounts, height: int, width: int) -> Tensor:
    """Where each place of the augmented pictures comes from: (N, 3, 3), of (x, y, 1) in pixels from the centre.

    The product of the inverses of what happens to a picture, first things first.
    """
    size = torch.stack([torch.full_like(amounts.flip, width), torch.full_like(amounts.flip, height)])
    angle = amounts.quarter * (math.pi / 2)
    return reduce(
        torch.matmul,
        [
            _scaling(1 - 2 * amounts.flip, torch.ones_like(amounts.flip)),
            _rotation(angle.cos().round(), angle.sin().round()),
            _translation(-(amounts.shift * size).round()),
            _scaling(torch.exp2(-amounts.scale), torch.exp2(-amounts.scale)),
            _rotation(amounts.turn.cos(), amounts.turn.sin()),
            _scaling(torch.exp2(-amounts.stretch), torch.exp2(amounts.stretch)),
            _rotation(amounts.turn_after.cos(), amounts.turn_after.sin()),
            _translation(-amounts.move * size),
        ],
    )


def sample(x: Tensor, origin: Tensor) -> Tensor:
    """x (N, C, H, W) at the places that `origin` (N, 3, 3) says, bilinearly; beyond its borders x is mirrored.

    torch's grid_sample has no second derivative, which R1 needs; a weighted sum of four neighbours has every one.
    """
    height, width = x.shape[2:]
    down = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] - (height - 1) / 2
    right = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
    a = origin[:, :2, :, None, None]
    column, row = (a[:, :, 0] * right + a[:, :, 1] * down + a[:, :, 2]).unbind(1)
    column, row = column + (width - 1) / 2, row + (height - 1) / 2
    left, top = column.floor(), row.floor()
    across, below = column - left, row - top
    corners = [
        (top, left, (1 - below) * (1 - across)),
        (top, left + 1, (1 - below) * across),
        (top + 1, left, below * (1 - across)),
        (top + 1, left + 1, below * across),
    ]
    return sum(
        (pick(x, _mirrored(i, height), _mirrored(j, width)) * weight[:, None] for i, j, weight in corners),
        torch.zeros_like(x),
    )


def recolour(x: Tensor, amounts: Amounts) -> Tensor:
    """x (N, 3·k, H, W) with brightness added, then times one matrix (3, 3) of RGB: contrast, luma, hue, saturation."""
    identity = torch.eye(3, device=x.device, dtype=x.dtype)
    grey = torch.full_like(identity, 1 / 3)  # v vᵀ, with v the unit vector along greys
    across = x.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # [v]×
    brightness, contrast, luma, hue, saturation = (amount[:, None, None] for amount in amounts[-5:])
    contrast, saturation = torch.exp2(contrast), torch.exp2(saturation)
    flipped = identity - 2 * luma * grey
    turned = hue.cos() * identity + hue.sin() * across + (1 - hue.cos()) * grey  # Rodrigues
    matrix = (saturation * identity + (1 - saturation) * grey) @ turned @ flipped * contrast
    rgb = x.unflatten(1, (-1, 3)) + brightness[..., None, None]
    return torch.einsum("nij,ngjhw->ngihw", matrix, rgb).flatten(1, 2)


def _mirrored(place: Tensor, size: int) -> Tensor:
    """Whole numbers, any, as places of a line of `size` pixels that is mirrored at the middle of its border pixels."""
    place = place.remainder(max(2 * (size - 1), 1))
    return torch.minimum(place, 2 * (size - 1) - place)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=-1))


def _rotation(cos: Tensor, sin: Tensor) -> Tensor:
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=-1).view(-1, 3, 3)


def _translation(by: Tensor) -> Tensor:
    zero, one = torch.zeros_like(by[0]), torch.ones_like(by[0])
    return torch.stack([one, zero, by[0], zero, one, by[1], zero, zero, one], dim=-1).view(-1, 3, 3)
