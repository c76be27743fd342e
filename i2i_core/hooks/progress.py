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
from rich.progress import Progress as Bar
from torch import Tensor

if TYPE_CHECKING:
    from i2i_core.run import Run


class Progress:
    """Prints the step rate, the time left and the losses every n steps; on a terminal above a bar."""

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self.every = every
        self.console = Console(stderr=True, highlight=False)

    def run_start(self, run: Run) -> None:
        self.console.quiet = not run.is_main
        where = f" -> {run.folder}" if run.folder else ""
        self._say(f"training on {run.device} from step {run.step} to {run.recipe.steps}{where}")
        self.started, self.first = time.monotonic(), run.step
        self.bar = Bar(console=self.console, transient=True, disable=not (run.is_main and self.console.is_terminal))
        self.task = self.bar.add_task("training", total=run.recipe.steps, completed=run.step)
        self.bar.start()
        weakref.finalize(self, self.bar.stop)  # a run that fails must not keep the cursor hidden

    def after_step(self, run: Run, losses: Mapping[str, Tensor]) -> None:
        due = run.step % self.every == 0 or run.step == run.recipe.steps
        if due and losses and run.is_main:
            values = torch.stack(list(losses.values())).tolist()
            shown = "  ".join(f"{name} {value:.3f}" for name, value in zip(losses, values, strict=True))
            rate = (run.step - self.first) / (time.monotonic() - self.started)
            speed = f"{rate:.2f} steps/s" if rate >= 1 else f"{1 / rate:.2f} s/step"
            left = _clock((run.recipe.steps - run.step) / rate)
            self._say(f"step {run.step}/{run.recipe.steps}  {speed}  {left} left  {shown}")
        self.bar.update(self.task, completed=run.step)
        if run.stopping:
            self.bar.stop()

    def run_end(self, run: Run) -> None:
        self.bar.stop()
        self._say(f"{run.step} steps in {_clock(time.monotonic() - self.started)}")

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))
