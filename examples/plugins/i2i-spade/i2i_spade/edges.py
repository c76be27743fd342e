"""Edges of instances (Wang et al. 2018, section 3.3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def edges(instance_real: Tensor) -> Tensor:
    """Edge map of instances: 1 where a pixel's id differs from one of its four neighbours' (Wang et al., section 3.3).

    instance_real: ids of instances, integers (N, 1, H, W). Output: (N, 1, H, W) of 0 and 1.
    """
    down = instance_real[:, :, 1:] != instance_real[:, :, :-1]
    right = instance_real[..., 1:] != instance_real[..., :-1]
    found = F.pad(down, (0, 0, 0, 1)) | F.pad(down, (0, 0, 1, 0)) | F.pad(right, (0, 1)) | F.pad(right, (1, 0))
    return found.float()
