"""`i2i train`."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, warn, with_plugins, with_sets

if TYPE_CHECKING:
    from i2i_core.registry.plugins import Plugins


@subcommand
@click.option("--recipe", metavar="NAME", help="A file, or a bundled recipe: --recipe stargan_v2.yaml.")
@with_sets
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The run's folder; the default is the next free runs/NAME-001.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --run-dir from its newest good checkpoint.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Predict the memory with each switch that saves some; train two iterations at full size, draw, save "
    "and resume; print the time and memory that it took.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="With --dry-run: a memory such as 8GB, to say which switches make the recipe fit in it; "
    "what does not fit is not trained, and the exit code is 7. Without it, what the accelerator has free.",
)
@with_plugins
def train(
    plugins: Plugins,
    recipe: str | None,
    sets: tuple[str, ...],
    run_dir: Path | None,
    resume: bool,
    dry_run: bool,
    memory: str | None,
) -> None:
    """Train a recipe and say where its pictures are.

    \b
    i2i train --recipe stargan_v2.yaml
    i2i train --recipe my.yaml --set steps=100 --set data.batch_size=4
    i2i train --run-dir runs/my-001 --resume
    accelerate launch -m i2i_cli train --recipe my.yaml
    """
    if memory is not None and not dry_run:
        raise click.UsageError("--memory is for --dry-run")
    if dry_run:
        from .dry_run import rehearse
        from .memory_advice import size

        if resume:
            raise click.UsageError("a dry run starts from the beginning; leave out --resume")
        rehearse(recipe, plugins, sets, size(memory) if memory is not None else None)
        return
    # Threads that wait for each other by spinning starve on a busy machine; torch's OpenMP reads this once, at import.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    gc.disable()  # looking for garbage among what is being imported takes 0.15 s and finds none, now or later
    from i2i_core.disk import checkpoints
    from i2i_core.training import launch

    gc.freeze()
    gc.enable()
    run = launch.train(recipe, plugins, sets=sets, run_dir=run_dir, resume=resume, warn=warn)
    if run.is_main and run.folder is not None:
        click.echo(f"run         {run.folder}")
        for checkpoint in checkpoints.committed(run.folder / "checkpoints")[:1]:
            click.echo(f"checkpoint  {checkpoint}")
        for picture in sorted((run.folder / "samples").glob(f"step-{run.step:08d}-*.png")):
            click.echo(f"picture     {picture}")
