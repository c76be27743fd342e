"""ESRGAN as named tensors (Wang et al. 2018, section 3).

x_real is a small picture, (N, C, h, w), and x_pair the large picture x_r of which it is a reduction, (N, C, H, W), so
the data set must be paired. Values are in [-1, 1].
"""

from __future__ import annotations

from torch import Tensor, nn


def x_fake(generator: nn.Module, x_real: Tensor) -> Tensor:
    """The enlarged picture x_f = G(x), (N, C, H, W)."""
    x: Tensor = generator(x_real)
    return x


def real_logits(discriminator: nn.Module, x_pair: Tensor) -> Tensor:
    """C(x_r), of which the relativistic discriminator D_Ra is made (section 3.2)."""
    logits: Tensor = discriminator(x_pair)
    return logits


def fake_logits(discriminator: nn.Module, x_fake: Tensor) -> Tensor:
    """C(x_f)."""
    logits: Tensor = discriminator(x_fake)
    return logits


def real_features(features: nn.Module, x_pair: Tensor) -> Tensor:
    """Features of the large picture in the frozen network `features` (section 3.3)."""
    found: Tensor = features(x_pair)
    return found


def fake_features(features: nn.Module, x_fake: Tensor) -> Tensor:
    """Features of the enlarged picture; their distance from `real_features` is the perceptual loss L_percep."""
    found: Tensor = features(x_fake)
    return found
