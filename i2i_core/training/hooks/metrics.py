"""Losses into metrics.jsonl and the trackers; what depends on the machine into speed.jsonl."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.training.compute import peak_memory

if TYPE_CHECKING:
    from i2i_core.training.run import Run


class Metrics:
    """Writes the losses of every n-th step to metrics.jsonl and to the trackers.

    Beside them, what no resumed run repeats to the bit, in speed.jsonl: `seconds` per step since the line before, with
    what hooks did meanwhile and without the first step, which warms up; `memory`, the most bytes until now.
    """

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self.every = every
        self._timed: tuple[float, int] | None = None

    def after_step(self, run: Run, losses: Mapping[str, Tensor]) -> None:
        due = bool(losses) and run.step % self.every == 0
        if due:
            numbers = torch.stack(list(losses.values())).tolist()  # one transfer from the device for all of them
            run.log(dict(zip(losses, numbers, strict=True)))
        if due or self._timed is None:
            now = time.perf_counter()
            if self._timed is not None:
                before, step = self._timed
                seconds = (now - before) / (run.step - step)
                run.append("speed.jsonl", {"seconds": seconds, "memory": peak_memory(run.device)})
            self._timed = now, run.step
