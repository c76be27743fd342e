"""Gradient penalties on a discriminator D, and the tensors at which they differentiate it.

A penalty reads logits and the pictures x from which they were computed. These pictures are a leaf: a tensor without a
graph, which requires a gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from i2i_core.interfaces import Schedule, detached, number_at
from i2i_core.training.losses.nested import Nested, leaves, sum_of


def r1(real_logits: Nested, x_real_leaf: Tensor, step: int = 0, *, gamma: float | Schedule = 1.0) -> Tensor:
    """Gradient penalty on real pictures, γ/2 · E‖∇ₓ D(x)‖² (Mescheder et al. 2018, equation 9).

    real_logits: logits computed from `x_real_leaf`, (N, ...) or nested lists. D(x) is the sum of all logits of x.
    x_real_leaf: real pictures (N, C, H, W), a leaf tensor that requires a gradient. If the method has none, the recipe
        makes it: the tensor {use: leaf, of: x_real}, and this loss has `where: {x_real: x_real_leaf}`.
    gamma: weight γ of the penalty, a number or a schedule of `step`.

    Raises ValueError if the logits were not computed from the leaf.
    """
    total = sum_of(d.sum() for d in leaves(real_logits, "real_logits"))
    return _half_square(_gradient(total, x_real_leaf, "real_logits", "x_real_leaf"), number_at(gamma, step))


def r2(fake_logits: Nested, x_fake_leaf: Tensor, step: int = 0, *, gamma: float | Schedule = 1.0) -> Tensor:
    """Gradient penalty on generated pictures, γ/2 · E‖∇ₓ D(x)‖² with x = G(x̃) (Mescheder et al. 2018, equation 10).

    fake_logits: logits computed from `x_fake_leaf`, (N, ...) or nested lists. D(x) is the sum of all logits of x.
    x_fake_leaf: generated pictures (N, C, H, W), a leaf tensor that requires a gradient; the tensor `leaf` makes it.
    gamma: weight γ of the penalty, a number or a schedule of `step`.

    Raises ValueError if the logits were not computed from the leaf.
    """
    total = sum_of(d.sum() for d in leaves(fake_logits, "fake_logits"))
    return _half_square(_gradient(total, x_fake_leaf, "fake_logits", "x_fake_leaf"), number_at(gamma, step))


def gradient_penalty(interpolate_logits: Nested, interpolate: Tensor) -> Tensor:
    """Gradient penalty of WGAN-GP, E (‖∇ D(x̂)‖₂ − 1)² (Gulrajani et al. 2017, equation 3).

    interpolate_logits: logits computed from `interpolate`, (N, ...) or nested lists.
    interpolate: pictures x̂ between real and generated ones, (N, C, H, W), a leaf tensor that requires a gradient; the
        tensor `interpolate` makes it.

    The weight of the loss is the paper's λ, which is 10. D(x̂) is the critic of `gan/wasserstein`: the mean over tensors
    of the mean over the logits of x̂. Raises ValueError if the logits were not computed from the leaf.
    """
    critics = leaves(interpolate_logits, "interpolate_logits")
    total = sum_of(d.sum() / (d.numel() // len(d)) for d in critics) / len(critics)
    gradient = _gradient(total, interpolate, "interpolate_logits", "interpolate")
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norms - 1).square().mean()


@detached
def leaf(of: Tensor) -> Tensor:
    """Pictures without their graph, as a leaf that requires a gradient: x_fake_leaf of r2, for example.

    of: pictures of any shape.
    """
    return of.detach().requires_grad_()


@detached
def interpolate(real: Tensor, fake: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
    """Random points x̂ = ε x + (1 − ε) x̃ between real and generated pictures (Gulrajani et al. 2017, algorithm 1).

    real, fake: pictures x and x̃, (N, C, H, W).
    uniform: random numbers; uniform(*shape) returns (N, *shape) in [0, 1). Each sample has one ε.

    The result is a leaf that requires a gradient. Raises ValueError if `real` and `fake` differ in shape.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake differ in shape: {list(real.shape)} and {list(fake.shape)}")
    epsilon = uniform(*(1 for _ in real.shape[1:]))
    return leaf(epsilon * real + (1 - epsilon) * fake)


def _gradient(total: Tensor, x: Tensor, logits: str, pictures: str) -> Tensor:
    """Return the gradient of `total`, a sum of logits, by x, with a graph.

    logits, pictures: names of the arguments, for the error.
    """
    gradient = None
    if total.requires_grad and x.requires_grad:
        (gradient,) = torch.autograd.grad(total, x, create_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"{logits} have no gradient with respect to {pictures}; compute them from this leaf, in a phase that "
            f"trains the discriminator"
        )
    return gradient


def _half_square(gradient: Tensor, gamma: float) -> Tensor:
    return 0.5 * gamma * gradient.square().sum() / len(gradient)
