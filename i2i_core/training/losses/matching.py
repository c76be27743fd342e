"""Distances between pictures, and between features of a discriminator."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from i2i_core.training.losses.nested import Nested, mean, paired_by_sample


def l1(input: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of the same shape."""
    return F.l1_loss(input, target)


def feature_matching(real_features: Nested, fake_features: Nested) -> Tensor:
    """Feature matching loss: mean absolute difference of D's features of x and G(x) (Wang et al. 2018, equation 3).

    real_features, fake_features: features of the layers of one or several discriminators, nested lists of tensors of
        the same structure and shapes. The real ones get no gradient.

    The result is the mean over all layers of all discriminators. The paper sums over them: for its λ = 10 with three
    discriminators of T layers, set the weight to 10 · 3 T. Raises ValueError if structures or shapes differ.
    """
    pairs = paired_by_sample(real_features, fake_features, "features")
    return mean(F.l1_loss(fake, real.detach()) for real, fake in pairs)
