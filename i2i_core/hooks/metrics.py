"""Losses into metrics.jsonl and the trackers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from pydantic import PositiveInt
from torch import Tensor

if TYPE_CHECKING:
    from i2i_core.run import Run


class Metrics:
    """Writes the losses of every n-th step to metrics.jsonl and to the trackers."""

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self.every = every

    def after_step(self, run: Run, losses: Mapping[str, Tensor]) -> None:
        if losses and run.step % self.every == 0:
            numbers = torch.stack(list(losses.values())).tolist()  # one transfer from the device for all of them
            run.log(dict(zip(losses, numbers, strict=True)))
