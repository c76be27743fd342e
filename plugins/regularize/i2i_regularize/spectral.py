"""Spectral normalisation of weights (Miyato et al. 2018)."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrizations

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def spectral_norm(network: nn.Module) -> nn.Module:
    """Divide the weights of all convolutions and linear layers by their largest singular value: W / σ(W).

    network: the network, changed in place and returned, so its other methods remain available.

    W is a matrix with one row per output channel (Miyato et al. 2018, equation 8). In training mode each access to the
    weight does one power iteration to estimate σ(W). Its two vectors are buffers that are saved with the network.

    Raises ValueError if the network has no such layer, or has a lazy one.
    """
    layers = [module for module in network.modules() if isinstance(module, LAYERS)]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no convolution or linear layer to normalise")
    if any(map(is_lazy, network.parameters())):
        raise ValueError(
            f"{type(network).__name__} has lazy layers, which get their sizes from the first batch; "
            f"spectral_norm needs layers of known size"
        )
    for layer in layers:
        parametrizations.spectral_norm(layer)
    return network
