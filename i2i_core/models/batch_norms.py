"""Batch norms that use the statistics of the current batch, in which pictures influence each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

SPATIAL: Mapping[type[nn.Module], Any] = {nn.BatchNorm2d: nn.InstanceNorm2d, nn.BatchNorm3d: nn.InstanceNorm3d}
"""Batch norms with the instance norm that computes the same for a batch of one picture."""


def uses_batch_statistics(network: nn.Module) -> bool:
    """Return True if a batch norm of a network normalises with the statistics of the current batch in eval mode."""
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None
        for module in network.modules()
    )


def separate_pictures(network: nn.Module) -> None:
    """Replace such batch norms in a network by instance norms with their parameters.

    Each picture is then normalised by its own statistics, as in a batch of one.
    """
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            instance = SPATIAL.get(type(norm))
            if instance is not None and getattr(norm, "running_mean", None) is None:
                made = instance(norm.num_features, norm.eps, affine=norm.affine)
                made.weight, made.bias = norm.weight, norm.bias
                setattr(parent, name, made.train(norm.training))
