"""Layers that the networks of SPADE share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
"""Negative slope of leaky ReLUs."""


def conv(before: int, after: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """Create a padded convolution with Glorot's initialisation and bias zero (section 4)."""
    layer = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def normalised(layer: nn.Conv2d) -> nn.Module:
    """Divide the weight of a convolution by its largest singular value (spectral norm, section 4)."""
    return spectral_norm(layer)


def checked(x: Tensor, channels: int, network: str) -> Tensor:
    """Return x (N, C, H, W). Raises ValueError if C is not `channels`, the number that `network` takes."""
    if x.shape[1] != channels:
        raise ValueError(
            f"the {network} takes {channels} channels, but its input has {x.shape[1]}; set its edges to true exactly "
            f"if the recipe has the tensor edges"
        )
    return x
