"""Layers and initialisation that the networks of all four papers share."""

from __future__ import annotations

from typing import Literal

from torch import nn

SLOPE = 0.2
"""Negative slope of leaky ReLUs."""
STD = 0.02
"""Standard deviation of initial weights."""
Norm = Literal["instance", "batch"]


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Create an instance norm without parameters, or a batch norm with parameters but without running statistics.

    pix2pix normalises with the statistics of the current batch, at test time too. For batches of one picture, as in the
    paper, this is instance normalisation. In larger batches of training the pictures influence each other.
    """
    if kind == "instance":
        return nn.InstanceNorm2d(channels)
    return nn.BatchNorm2d(channels, track_running_stats=False)


def init_normal(module: nn.Module) -> None:
    """Initialise convolutions and linear layers from N(0, 0.02²) and scales of batch norms from N(1, 0.02²).

    Biases are set to zero. Pass this function to `nn.Module.apply`.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, STD)
        nn.init.zeros_(module.bias)
