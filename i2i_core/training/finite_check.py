"""What a device is asked while it computes: are losses and gradients numbers, and does a process have to stop?

A CPU answers at once. To wait for a GPU's answer would leave it idle until the next work is there, so that one is heard
an iteration later, or when something is about to be saved: nothing that is saved was ruined.
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
class Question:
    """Of a phase that has its gradients: what the numbers mean that the device will answer."""

    phase: str
    step: int
    trains: Sequence[str]
    losses: Sequence[str]

    def hear(self, answer: Tensor) -> bool:
        """Whether a process wants to stop; raises Diverged. answer: the losses, that wish, the gradient's norm."""
        *losses, stop, norm = answer.tolist()
        if not all(map(math.isfinite, (*losses, norm))):
            bad = [f"loss {name} is {value}" for name, value in zip(self.losses, losses, strict=True)
                   if not math.isfinite(value)]
            what = " and ".join(bad) or f"the gradient of {' and '.join(self.trains)} is not finite"
            raise Diverged(f"{what} in phase {self.phase} of step {self.step}. Resume from the last checkpoint with a "
                           f"lower learning rate (--set optimizers.default.lr=...) or another seed (--set seed=1)")
        return bool(stop > 0)


class Answers:
    """Questions in the order in which they were asked, and answers on their way from the device."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.at_once = device, device.type == "cpu"
        self.pending: deque[tuple[Question, Tensor, torch.Event | None]] = deque()
        self.stopping = False
        """Whether all processes agreed to stop."""

    def ask(self, question: Question, answer: Tensor) -> None:
        """answer: numbers on the device, of which a copy sets out to the host."""
        answer = answer.to("cpu", non_blocking=True)
        arrival = None if self.device.type == "cpu" else torch.Event(self.device)
        if arrival is not None:
            arrival.record()
        self.pending.append((question, answer, arrival))
        if self.at_once:
            self.hear()

    def hear(self, before: int | None = None) -> None:
        """Wait for the answers to all questions, or to those of steps before one; raises Diverged."""
        while self.pending and (before is None or self.pending[0][0].step < before):
            question, answer, arrival = self.pending.popleft()
            if arrival is not None:
                arrival.synchronize()
            self.stopping = question.hear(answer) or self.stopping
