"""Augmentations of ADA, adaptive discriminator augmentation (Karras et al. 2020, appendix B).

Only the useful part of the paper's pipeline is implemented, "bgc": pixel blitting, geometry and colour.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .augmented import Augmented, pick


class Amounts(NamedTuple):
    """Parameters of the augmentations for N pictures, in the order of their application; 0 means no change."""

    flip: Tensor
    """Horizontal flip, (N,): 1 mirrors left and right."""
    quarter: Tensor
    """Rotation by multiples of 90°, (N,): 0 to 3."""
    shift: Tensor
    """Integer translation, (2, N): right and down, as shares of width and height, rounded to pixels."""
    scale: Tensor
    """Isotropic scaling, (N,): log2 of the factor."""
    turn: Tensor
    """Rotation before the anisotropic scaling, (N,): radians."""
    stretch: Tensor
    """Anisotropic scaling, (N,): log2 of the factor in width; the factor in height is its inverse."""
    turn_after: Tensor
    """Rotation after the anisotropic scaling, (N,): radians."""
    move: Tensor
    """Fractional translation, (2, N): right and down, as shares of width and height."""
    brightness: Tensor
    """Brightness, (N,): added to all pixels."""
    contrast: Tensor
    """Contrast, (N,): log2 of the factor."""
    luma: Tensor
    """Luma flip, (N,): 1 inverts the luma and keeps the colours."""
    hue: Tensor
    """Hue rotation, (N,): radians around the axis of greys."""
    saturation: Tensor
    """Saturation, (N,): log2 of the factor."""


class ADA(Augmented):
    """Discriminator behind the 13 augmentations of ADA, each applied with probability p (Karras et al. 2020).

    network: the discriminator.

    The augmentations have the paper's strengths: horizontal flip, rotation by 90°, integer translation; isotropic
    scaling, rotation, anisotropic scaling, fractional translation; brightness, contrast, luma flip, hue, saturation.

    Input: pictures (N, C, H, W) in [-1, 1]; C is a multiple of 3 if RGB pictures are stacked. All pictures of one call
    are augmented with the same parameters. Other arguments are passed on unchanged. In eval mode nothing is augmented.

    p is a buffer that is saved with the network. It starts at 0. The hook regularize/ada adapts it, and the
    hook regularize/probability sets it.
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
    """Draw parameters for n pictures: each is random with probability p and 0 otherwise.

    p: 0-d tensor; the parameters get its device and dtype.
    """
    either = 1 - (1 - p).sqrt()  # of each rotation, so that at least one of the two occurs with probability p

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
    """Return the matrices (N, 3, 3) that map pixels of the augmented pictures to pixels of the originals.

    They act on (x, y, 1), in pixels from the centre. Each is the product of the inverses of the transformations, in the
    order of their application.
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
    """Sample x (N, C, H, W) bilinearly at the positions given by the matrices `origin` (N, 3, 3).

    Beyond its borders x is mirrored. R1 needs a second derivative, which torch's grid_sample lacks. A weighted sum of
    four neighbours has derivatives of all orders.
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
    """Apply the colour transformations to x (N, 3·k, H, W).

    Brightness is added. Contrast, luma flip, hue and saturation are one matrix (3, 3) on RGB.
    """
    identity = torch.eye(3, device=x.device, dtype=x.dtype)
    grey = torch.full_like(identity, 1 / 3)  # v vᵀ, with v the unit vector along the axis of greys
    across = x.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # [v]×
    brightness, contrast, luma, hue, saturation = (amount[:, None, None] for amount in amounts[-5:])
    contrast, saturation = torch.exp2(contrast), torch.exp2(saturation)
    flipped = identity - 2 * luma * grey
    turned = hue.cos() * identity + hue.sin() * across + (1 - hue.cos()) * grey  # Rodrigues
    matrix = (saturation * identity + (1 - saturation) * grey) @ turned @ flipped * contrast
    rgb = x.unflatten(1, (-1, 3)) + brightness[..., None, None]
    return torch.einsum("nij,ngjhw->ngihw", matrix, rgb).flatten(1, 2)


def _mirrored(place: Tensor, size: int) -> Tensor:
    """Map any integers to positions on a line of `size` pixels, mirrored at the centres of its border pixels."""
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
