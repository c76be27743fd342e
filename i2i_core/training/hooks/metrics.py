"""Logging of losses to metrics.jsonl and trackers, and of time and memory to speed.jsonl."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.disk.files import append_line
from i2i_core.interfaces import RunContext
from i2i_core.training.compute import peak_memory


class Metrics:
    """Logger of losses to metrics.jsonl and the trackers, and of speed and memory to speed.jsonl.

    A line of metrics.jsonl has the newest value of each loss that was computed since the last line. A line of
    speed.jsonl has `seconds`, the mean time of a step since the last line, other hooks included and the first step,
    which warms up, excluded; and `memory`, the peak in bytes. A resumed run repeats the first file bit for bit.
    every: steps between two lines.
    """

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self.every = every
        self._since: dict[str, Tensor] = {}
        """The newest value of each loss since the last line; one with a period is rarely due at the step of a line."""
        self._timed: tuple[float, int] | None = None

    def after_step(self, run: RunContext, losses: Mapping[str, Tensor]) -> None:
        self._since |= losses
        due = bool(self._since) and run.step % self.every == 0
        if due:
            numbers = torch.stack(list(self._since.values())).tolist()  # one transfer from the device for all of them
            run.log(dict(zip(self._since, numbers, strict=True)))
            self._since = {}
        if due or self._timed is None:
            self._time(run)

    def _time(self, run: RunContext) -> None:
        now = time.perf_counter()
        if self._timed is not None and run.is_main and run.folder is not None:
            before, step = self._timed
            line = {
                "step": run.step,
                "seconds": (now - before) / (run.step - step),
                "memory": peak_memory(run.accelerator.device),
            }
            append_line(run.folder / "speed.jsonl", json.dumps(line))
        self._timed = now, run.step
