"""The check of weights before they are saved: no checkpoint holds weights that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from i2i_core.errors import Diverged, counted


def largest_weight(networks: Iterable[tuple[str, nn.Module]], step: int) -> float:
    """Return the largest absolute parameter of networks, given with their names, in one transfer from the device.

    Raises Diverged for parameters that are not finite, and for buffers with NaN; masks may hold infinity there.
    """
    peaks: list[Tensor] = []
    owners: list[tuple[str, bool]] = []
    for network, name in {network: name for name, network in networks}.items():  # one may have two names
        for tensors, are_weights in ((network.parameters(), True), (network.buffers(), False)):
            floats = [t.detach() for t in tensors if t.is_floating_point() and t.numel()]
            peaks += [peak.double() for peak in (torch._foreach_norm(floats, math.inf) if floats else ())]
            owners += [(name, are_weights)] * len(floats)
    numbers = torch.stack(peaks).tolist() if peaks else []
    found = list(zip(owners, numbers, strict=True))
    ruined = [name for (name, are_weights), n in found if math.isnan(n) or (are_weights and math.isinf(n))]
    if ruined:
        names = " and ".join(dict.fromkeys(ruined))
        raise Diverged(f"{counted(len(ruined), 'tensor')} of {names} not finite after step {step}, which is not saved")
    return max((number for (_, are_weights), number in found if are_weights), default=0.0)
