"""What a person sees while training."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from pydantic import PositiveInt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import Tensor

if TYPE_CHECKING:
    from i2i_core.run import Run


class Progress:
    """Shows the step rate, the time left and the losses on a terminal; in a log, a line every n steps."""

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self.every = every
        self.console = Console(stderr=True, highlight=False)

    def run_start(self, run: Run) -> None:
        self.console.quiet = not run.is_main
        where = f" -> {run.folder}" if run.folder else ""
        self.console.print(f"training on {run.device} from step {run.step} to {run.recipe.steps}{where}",
                           soft_wrap=True)
        self.started, self.first = time.monotonic(), run.step
        self.bar = Bar("step", MofNCompleteColumn(), BarColumn(), "{task.fields[rate]}", TimeRemainingColumn(),
                       "{task.fields[losses]}", console=self.console, transient=True,
                       disable=not (run.is_main and self.console.is_terminal))
        self.task = self.bar.add_task("", total=run.recipe.steps, completed=run.step, rate="", losses="")
        self.bar.start()
        weakref.finalize(self, self.bar.stop)  # a run that fails must not keep the cursor hidden

    def after_step(self, run: Run, losses: Mapping[str, Tensor]) -> None:
        due = run.step % self.every == 0 or run.step == run.recipe.steps
        if due and losses and run.is_main:
            values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
            rate = (run.step - self.first) / (time.monotonic() - self.started)
            speed = f"{rate:.2f} steps/s" if rate >= 1 else f"{1 / rate:.2f} s/step"
            if self.bar.disable:
                left = _clock((run.recipe.steps - run.step) / rate)
                shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
                self.console.print(f"step {run.step}/{run.recipe.steps}  {speed}  {left} left  {shown}",
                                   soft_wrap=True)
            self.bar.update(self.task, rate=speed, losses=_short(values))
        self.bar.update(self.task, completed=run.step)
        if run.stopping:
            self.bar.stop()

    def run_end(self, run: Run) -> None:
        self.bar.stop()
        self.console.print(f"{run.step} steps in {_clock(time.monotonic() - self.started)}")


def _short(losses: Mapping[str, float]) -> str:
    """The phases' losses by the first letters of their names, as far as a line of a terminal goes."""
    by_phase: dict[str, list[str]] = {}
    for name, value in losses.items():
        phase, _, term = name.partition("/")
        by_phase.setdefault(phase, []).append(f"{term[:3]} {value:.2f}")
    return " | ".join(f"{phase} {' '.join(terms)}" for phase, terms in by_phase.items())


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))
