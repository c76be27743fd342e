"""The classification loss of attributes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def attributes(logits: Tensor, given: Tensor) -> Tensor:
    """Classification loss of attributes, E[−log D_cls(c | x)] (Choi et al. 2018, equations 2 and 3).

    logits: logits D_cls(x) of the attributes, (N, K).
    given: the attributes c, (N, K), 0 or 1.

    Attributes are independent of each other, so −log D_cls is the sum of their binary cross entropies. Raises
    ValueError for another number of attributes than logits.
    """
    if logits.shape != given.shape:
        raise ValueError(
            f"the discriminator has logits for {logits.shape[1]} attributes, and the data has {given.shape[1]}; "
            f"set its attributes to {given.shape[1]}"
        )
    return F.binary_cross_entropy_with_logits(logits, given, reduction="sum") / len(given)
