"""Progress of training on the terminal."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from datetime import timedelta

import torch
from pydantic import PositiveInt
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text
from torch import Tensor

from i2i_core.interfaces import Records, RunContext


class Progress:
    """Progress display with speed, time left and losses: a bar on a terminal, lines elsewhere.

    every: steps between two updates.
    """

    def __init__(self, *, every: PositiveInt = 10) -> None:
        self.every = every
        self.console = Console(stderr=True, markup=False, emoji=False, highlight=False)

    def run_start(self, run: RunContext) -> None:
        self.console.quiet = not run.is_main
        where, world = f" -> {run.folder}" if run.folder else "", run.accelerator.num_processes
        processes = f" in {world} processes" if world > 1 else ""
        if run.step < run.recipe.steps:
            self._say(
                f"training on {run.accelerator.device}{processes} from step {run.step} to {run.recipe.steps}{where}"
            )
            held_out = f"; held out: {_counts(run.validation)}" * (run.recipe.data.validation is not None)
            self._say(f"pictures: {_counts(run.training)}{held_out}")
        self.started, self.first = time.monotonic(), run.step
        self.bar = Bar(BarColumn(None), MofNCompleteColumn(), TextColumn("{task.description}"), expand=True)
        self.task = self.bar.add_task("", total=run.recipe.steps, completed=run.step)
        self.newest: dict[str, Tensor] = {}
        """The newest value of each loss; one with a period is rarely computed at the step of an update."""
        self.losses = Text()
        self.live = Live(Group(self.bar, self.losses), console=self.console, transient=True)
        if run.is_main and self.console.is_terminal:
            self.live.start()
            weakref.finalize(self, self.live.stop)  # a run that fails must not keep the cursor hidden

    def after_step(self, run: RunContext, losses: Mapping[str, Tensor]) -> None:
        self.newest |= losses
        due = run.step % self.every == 0 or run.step == run.recipe.steps
        if due and self.newest and run.is_main:
            values = torch.stack(list(self.newest.values())).tolist()
            shown = "  ".join(f"{name} {value:.3f}" for name, value in zip(self.newest, values, strict=True))
            rate = (run.step - self.first) / (time.monotonic() - self.started)
            speed = f"{rate:.2f} steps/s" if rate >= 1 else f"{1 / rate:.2f} s/step"
            left = _clock((run.recipe.steps - run.step) / rate)
            if self.live.is_started:
                self.losses.plain = shown
                self.bar.update(self.task, completed=run.step, description=f"{speed}  {left} left")
            else:
                self._say(f"step {run.step}/{run.recipe.steps}  {speed}  {left} left  {shown}")
        if run.stopping:
            self.live.stop()

    def run_end(self, run: RunContext) -> None:
        self.live.stop()
        steps = run.step - self.first
        self._say(f"{steps} step{'s' * (steps != 1)} in {_clock(time.monotonic() - self.started)}")

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)


def _counts(records: Records) -> str:
    return ", ".join(f"{records.count(y):,} {domain}" for y, domain in enumerate(records.domains))


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))
