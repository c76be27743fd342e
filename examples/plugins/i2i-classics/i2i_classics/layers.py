"""What the networks of all four papers share."""

from __future__ import annotations

from typing import Literal

from torch import nn

SLOPE = 0.2
"""Of leaky ReLUs."""
STD = 0.02
"""Of initial convolution weights."""
Norm = Literal["instance", "batch"]


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Instance norm without parameters, or batch norm with them, which never averages statistics over batches.

    pix2pix normalises by the statistics of the batch at hand, at test time too; with one picture, as in the paper, that
    is instance norm. In larger batches a translation depends on the others.
    """
    if kind == "instance":
        return nn.InstanceNorm2d(channels)
    return nn.BatchNorm2d(channels, track_running_stats=False)


def init_normal(module: nn.Module) -> None:
    """Convolution weights from N(0, 0.02²) without bias; scales of a batch norm from N(1, 0.02²)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, STD)
        nn.init.zeros_(module.bias)
