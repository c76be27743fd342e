"""Layers that the networks share (appendix B.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Create a convolution with reflection padding, which maps a side h to h / stride."""
    return nn.Conv2d(before, after, kernel, stride, padding=(kernel - 1) // 2, padding_mode="reflect")


def adain(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return AdaIN(z, γ, β) = γ (z − μ(z)) / σ(z) + β (section 5.1).

    z: activations (N, C, H, W); gamma, beta: (N, C).
    """
    return torch.addcmul(beta[:, :, None, None], gamma[:, :, None, None], F.instance_norm(z))


class ResidualBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions with instance norm, (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, z: Tensor) -> Tensor:
        made: Tensor = z + self.layers(z)
        return made


class AdaINBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions with AdaIN, (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels, 3), conv(channels, channels, 3)

    def forward(self, z: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """first, second: γ and β of the two norms, each (N, 2, channels)."""
        h = F.relu(adain(self.first(z), first[:, 0], first[:, 1]))
        return z + adain(self.second(h), second[:, 0], second[:, 1])


def init_kaiming(module: nn.Module) -> None:
    """Initialise convolutions and linear layers as He et al. 2015; biases are zero. Pass it to `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
