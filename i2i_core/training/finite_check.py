"""The finite check: are losses and gradients finite, and does a process want to stop?

A CPU has the numbers at once. To wait for a GPU would leave it idle until the next work is there, so its numbers are
read an iteration later, or before something is saved: nothing that is saved is ruined.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_core.errors import Diverged


@dataclass(frozen=True)
class PhaseReport:
    """The meaning of the numbers that a phase sends: whose they are."""

    phase: str
    step: int
    trains: Sequence[str]
    losses: Sequence[str]

    def read(self, numbers: Tensor) -> bool:
        """Return whether a process wants to stop; raises Diverged. numbers: losses, that wish, the gradient's norm."""
        *losses, stop, norm = numbers.tolist()
        if not all(map(math.isfinite, (*losses, norm))):
            bad = [
                f"loss {name} is {value}"
                for name, value in zip(self.losses, losses, strict=True)
                if not math.isfinite(value)
            ]
            what = " and ".join(bad) or f"the gradient of {' and '.join(self.trains)} is not finite"
            raise Diverged(
                f"{what} in phase {self.phase} of step {self.step}. Resume from the last checkpoint with a "
                f"lower learning rate (--set optimizers.default.lr=...) or another seed (--set seed=1)"
            )
        return bool(stop > 0)


class FiniteCheck:
    """Reports in the order in which phases sent them, and their numbers on the way from the device."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.at_once = device, device.type == "cpu"
        self.pending: deque[tuple[PhaseReport, Tensor, torch.Event | None]] = deque()
        self.stopping = False
        """Whether all processes agreed to stop."""

    def send(self, report: PhaseReport, numbers: Tensor) -> None:
        """Start to copy the numbers of a report, which are on the device, to the host."""
        numbers = numbers.to("cpu", non_blocking=True)
        arrival = None if self.device.type == "cpu" else torch.Event(self.device)
        if arrival is not None:
            arrival.record()
        self.pending.append((report, numbers, arrival))
        if self.at_once:
            self.wait()

    def wait(self, before: int | None = None) -> None:
        """Wait for all reports, or for those of steps before one; raises Diverged."""
        while self.pending and (before is None or self.pending[0][0].step < before):
            report, numbers, arrival = self.pending.popleft()
            if arrival is not None:
                arrival.synchronize()
            self.stopping = report.read(numbers) or self.stopping
