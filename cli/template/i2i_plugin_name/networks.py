"""Network: a torch.nn.Module. The parameters of its constructor are keys of the recipe."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn


class Generator(nn.Module):
    """Generator of two convolutions, with a learned offset of the features for each domain.

    width: channels of the features.
    num_domains: number of domains. The data set provides it; image_size and domains are available in the same way.
    """

    def __init__(self, *, num_domains: int, width: PositiveInt = 16) -> None:
        super().__init__()
        self.encode = nn.Conv2d(3, width, 3, padding=1)
        self.domain = nn.Embedding(num_domains, width)
        self.decode = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Translate pictures x (N, 3, H, W) into domains y (N,); returns (N, 3, H, W) in [-1, 1]."""
        features = F.relu(self.encode(x) + self.domain(y)[:, :, None, None])
        return torch.tanh(self.decode(features))
