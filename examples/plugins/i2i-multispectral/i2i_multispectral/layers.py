"""Norms and initialisation."""

from __future__ import annotations

from typing import Literal

from torch import nn

SLOPE = 0.2
"""Negative slope of leaky ReLUs."""
STD = 0.02
"""Standard deviation of initial weights."""
Norm = Literal["batch", "instance", "none"]


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Create a norm: batch has parameters, and the statistics of the current batch in eval mode too."""
    if kind == "batch":
        return nn.BatchNorm2d(channels, track_running_stats=False)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


def init_normal(module: nn.Module) -> None:
    """Initialise convolutions of several pixels from N(0, 0.02²), scales of norms from N(1, 0.02²), biases with zero.

    Convolutions of 1 x 1 pixel keep torch's larger weights: no norm follows them. For `nn.Module.apply`.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        if module.kernel_size != (1, 1):
            nn.init.normal_(module.weight, 0.0, STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, STD)
        nn.init.zeros_(module.bias)
