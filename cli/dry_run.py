"""The dry run of `i2i train --dry-run`: two iterations at full size, in a temporary folder."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import torch
from rich.filesize import decimal

from i2i_core.disk import checkpoints
from i2i_core.errors import Interrupted, OutOfMemory, Preempted, Problem, RecipeError
from i2i_core.plan.check import load
from i2i_core.registry.entries import Entry
from i2i_core.training import launch
from i2i_core.training.compute import peak_of_process

from .common import new_table, print_tables, warn
from .memory_advice import Forecast, NotPredicted, device_memory, leaves_room

if TYPE_CHECKING:
    from i2i_core.interfaces import RunContext
    from i2i_core.registry.plugins import Plugins
    from i2i_core.training.run import Run

STEPS = 2  # the first iteration warms up, the second is timed


class Stopwatch:
    """Timer of the last iteration, from the end of the one before: loading its batch and running its phases."""

    started = seconds = 0.0

    def after_step(self, run: RunContext) -> None:
        self.started = _now(run)

    def after_phase(self, run: RunContext) -> None:
        self.seconds = _now(run) - self.started


def _now(run: RunContext) -> float:
    if run.accelerator.device.type == "cuda":
        torch.cuda.synchronize(run.accelerator.device)
    return time.perf_counter()


def rehearse(recipe: str | None, plugins: Plugins, sets: Sequence[str], memory: int | None = None) -> None:
    """Predict the memory, run two iterations, draw, save and resume; print the time and memory.

    memory: the available bytes. If the recipe is predicted not to fit, nothing is run, and OutOfMemory names the
    settings with which it fits. Raises the errors of a real run.
    """
    if recipe is None:
        raise RecipeError([Problem("name a recipe with --recipe, for example --recipe stargan_v2.yaml")])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise click.UsageError(
            "a dry run uses one process; start it without a launcher, with data.batch_size set to the share of one "
            "process"
        )
    checked = load(recipe, sets, plugins).recipe
    plugins.registry.add(Entry("hook", "dry_run/stopwatch", f"{__name__}:Stopwatch", "dry_run"))
    predicted = _forecast(recipe, plugins, sets, memory)
    changed = [
        *sets,
        f"steps={STEPS}",
        *checked.with_all_phases(),
        *checked.silenced(),
        "hooks.dry_run_stopwatch=dry_run/stopwatch",
    ]
    click.echo(f"dry run: {STEPS} iterations, sample grids, a checkpoint, a resume", err=True)
    with tempfile.TemporaryDirectory(prefix="i2i-dry-run-") as folder:
        try:
            run = launch.train(recipe, plugins, sets=changed, run_dir=Path(folder), warn=warn)
            host, device = peak_of_process(), _device_peak(run)
            saved = next(iter(checkpoints.committed(Path(folder) / "checkpoints")), None) or run.save()
            launch.train(recipe, plugins, sets=changed, run_dir=Path(folder), resume=True, warn=_ignore)
        except (Interrupted, Preempted) as error:
            raise Interrupted("the dry run was interrupted; nothing was kept") from error
        except Exception as error:
            error.__dict__.pop("__notes__", None)  # they name files in the temporary folder
            raise
        assert saved is not None
        size = sum(file.stat().st_size for file in saved.rglob("*") if file.is_file())
        drawn = len(list((Path(folder) / "samples").glob(f"step-{STEPS:08d}-*.png")))
    seconds = run.hooks["dry_run_stopwatch"].seconds
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in run.networks.items()}
    table = new_table("network", "parameters")
    table.columns[1].justify = "right"
    for name, count in {**parameters, "all": sum(parameters.values())}.items():
        table.add_row(name, f"{count:,}")
    facts = new_table()
    facts.add_row(
        "time",
        f"{_duration(seconds)} per iteration on {run.placement.device}; "
        f"{checked.steps:,} iterations: {_duration(seconds * checked.steps)}",
    )
    measured = decimal(host)
    if device:
        measured = f"{decimal(device)} on {run.placement.device}, and {measured} in the process"
    facts.add_row("peak memory", f"{measured}; {predicted}")
    facts.add_row("checkpoint", f"{decimal(size)}, saved and resumed")
    facts.add_row("pictures", f"{drawn} drawn" if drawn else "none; the recipe has no hook that draws pictures")
    print_tables(table, "", facts)
    if memory is not None and not leaves_room(device or host, memory):
        raise OutOfMemory(
            f"the recipe does not fit in {decimal(memory)}, of which a tenth must stay free; lower data.batch_size"
        )


def _ignore(_: str) -> None:
    """Ignore the message that the resumed run is finished."""


def _forecast(recipe: str, plugins: Plugins, sets: Sequence[str], memory: int | None) -> str:
    """Print the predicted peaks, and return the text that stands next to the measured peak.

    Raises OutOfMemory only if the recipe does not fit in `memory`: the free memory of an accelerator may change.
    """
    try:
        forecast = Forecast(recipe, plugins, sets)
        table, predicted = forecast.table(), f"{decimal(forecast.peak())} predicted"
    except NotPredicted as error:
        return str(error)
    print_tables(table, "")
    available = device_memory() if memory is None else memory
    if available is not None:
        advice = forecast.advice(available)
        if memory is not None and not forecast.fits(memory):
            raise OutOfMemory(advice)
        print_tables(advice, "")
    return predicted


def _device_peak(run: Run) -> int:
    """Return the peak bytes of tensors on the accelerator; 0 on a CPU."""
    device = run.placement.device
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"
