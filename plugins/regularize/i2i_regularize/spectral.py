"""Spectral normalisation."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrizations

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def spectral_norm(network: nn.Module) -> nn.Module:
    """Divide every weight of the network's convolutions and linear layers by its largest singular value.

    W / σ(W), with W as a matrix of one row per output channel (Miyato et al. 2018, equation 8). σ is followed by
    one power iteration per forward in training mode; its two vectors are buffers, saved with the network. Returns
    the network itself, so whatever it can do remains. ValueError: a network without such a layer, or with one that has
    no size yet.
    """
    layers = [module for module in network.modules() if isinstance(module, LAYERS)]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no convolution and no linear layer to normalise")
    if any(is_lazy(weight) for layer in layers for weight in layer.parameters()):
        raise ValueError(f"{type(network).__name__} has layers without a size yet, which cannot be normalised")
    for layer in layers:
        parametrizations.spectral_norm(layer)
    return network
