"""StarGAN as named tensors (Choi et al. 2018, section 3).

x_real is the picture x, (N, 3, H, W) in [-1, 1], and given_real its attributes c', (N, K) from 0 to 1. given_ref are
the target attributes c: those of another random picture. The discriminator D returns logits D_src and D_cls.
"""

from __future__ import annotations

from torch import Tensor, nn

Judged = tuple[Tensor, Tensor]


def x_fake(generator: nn.Module, x_real: Tensor, given_ref: Tensor) -> Tensor:
    """G(x, c)."""
    x: Tensor = generator(x_real, given_ref)
    return x


def x_rec(generator: nn.Module, x_fake: Tensor, given_real: Tensor) -> Tensor:
    """G(G(x, c), c'), which should be x."""
    x: Tensor = generator(x_fake, given_real)
    return x


def real_judged(discriminator: nn.Module, x_real: Tensor) -> Judged:
    """D_src(x) and D_cls(x)."""
    judged: Judged = discriminator(x_real)
    return judged


def real_logits(real_judged: Judged) -> Tensor:
    """D_src(x), (N, 1, h, w)."""
    return real_judged[0]


def real_attributes(real_judged: Judged) -> Tensor:
    """Logits of the attributes, D_cls(x), (N, K)."""
    return real_judged[1]


def fake_judged(discriminator: nn.Module, x_fake: Tensor) -> Judged:
    """D_src and D_cls of G(x, c)."""
    judged: Judged = discriminator(x_fake)
    return judged


def fake_logits(fake_judged: Judged) -> Tensor:
    """D_src(G(x, c)), (N, 1, h, w)."""
    return fake_judged[0]


def fake_attributes(fake_judged: Judged) -> Tensor:
    """Logits of the attributes, D_cls(G(x, c)), (N, K)."""
    return fake_judged[1]


def interpolate_logits(discriminator: nn.Module, interpolate: Tensor) -> Tensor:
    """D_src(x̂) at the points x̂ of the gradient penalty (equation 8)."""
    logits: Tensor = discriminator(interpolate)[0]
    return logits
