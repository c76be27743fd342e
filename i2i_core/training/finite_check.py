"""The finite check of losses and gradients, combined with the agreement of processes to stop or to save.

On a CPU the numbers are read at once. Waiting for a GPU would leave it idle, so its numbers are read an iteration
later, and always before a checkpoint is saved: no checkpoint holds the result of losses that are not finite.
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
    """Labels of the numbers that a phase sends to the finite check."""

    phase: str
    step: int
    trains: Sequence[str]
    losses: Sequence[str]

    def read(self, numbers: Tensor) -> tuple[bool, bool]:
        """Return whether a process asked to stop, and whether one asked to save. Raises Diverged if a number is not
        finite.

        numbers: the losses, the means of the processes' requests to stop and to save, and the norm of the gradient.
        """
        *losses, stop, save, norm = numbers.tolist()
        if not all(map(math.isfinite, (*losses, norm))):
            bad = [
                f"loss {name} is {value}"
                for name, value in zip(self.losses, losses, strict=True)
                if not math.isfinite(value)
            ]
            what = " and ".join(bad) or f"the gradient of {' and '.join(self.trains)} is not finite"
            raise Diverged(f"{what} in phase {self.phase} of step {self.step}")
        return stop > 0, save > 0


class FiniteCheck:
    """A queue of reports whose numbers are on their way from the device, in the order in which phases sent them."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.at_once = device, device.type == "cpu"
        self.pending: deque[tuple[PhaseReport, Tensor, torch.Event | None]] = deque()
        self.stopping = False
        """True once the processes agreed to stop."""
        self.saving = False
        """True while they have agreed to save a checkpoint, and have not saved it."""
        self.checked = 0
        """The newest step of which numbers were read: the weights before it are some with which training goes on."""

    def send(self, report: PhaseReport, numbers: Tensor) -> None:
        """Start copying the numbers of a report from the device to the CPU."""
        numbers = numbers.to("cpu", non_blocking=True)
        arrival = None if self.device.type == "cpu" else torch.Event(self.device)
        if arrival is not None:
            arrival.record()
        self.pending.append((report, numbers, arrival))
        if self.at_once:
            self.wait()

    def wait(self, before: int | None = None) -> None:
        """Read all reports, or those of steps before `before`. Raises Diverged."""
        while self.pending and (before is None or self.pending[0][0].step < before):
            report, numbers, arrival = self.pending.popleft()
            if arrival is not None:
                arrival.synchronize()
            stop, save = report.read(numbers)
            self.stopping, self.saving = stop or self.stopping, save or self.saving
            self.checked = report.step
