"""The subcommand `i2i train`."""

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
@click.option("--recipe", metavar="NAME", help="A recipe file, or a bundled recipe such as stargan_v2.yaml.")
@with_sets
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the run. The default is the next free one of runs/NAME-001, -002, ...",
)
@click.option("--resume", is_flag=True, help="Resume the run in --run-dir from its newest intact checkpoint.")
@click.option(
    "--resume-from",
    type=click.IntRange(min=0),
    metavar="STEP",
    help="Resume the run in --run-dir from the checkpoint of this step. Later ones are moved to its folder aside.",
)
@click.option(
    "--from",
    "start_from",
    type=click.Path(path_type=Path),
    metavar="RUN|MODEL",
    help="Start a new run from the state of another run, of one of its checkpoints, or from a model. Without --recipe, "
    "its own recipe is used.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Rehearse the run in a temporary folder and keep nothing: predict the peak memory, with and without the "
    "settings that reduce it; run two iterations at full size; draw, save and resume; print the time and memory.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="With --dry-run: the available memory, such as 8GB. If the recipe does not fit, print the settings with "
    "which it fits, and exit with code 7. The default is the free memory of the accelerator.",
)
@with_plugins
def train(
    plugins: Plugins,
    recipe: str | None,
    sets: tuple[str, ...],
    run_dir: Path | None,
    resume: bool,
    resume_from: int | None,
    start_from: Path | None,
    dry_run: bool,
    memory: str | None,
) -> None:
    """Train a model from a recipe.

    Prints the folder of the run, its checkpoint and its sample grids.

    \b
    i2i train --recipe stargan_v2.yaml
    i2i train --recipe my.yaml --set steps=100 --set data.batch_size=4
    i2i train --run-dir runs/my-001 --resume
    i2i train --from runs/my-001 --set losses.generator.cycle.weight=2
    accelerate launch -m i2i_cli train --recipe my.yaml
    """
    resume = resume or resume_from is not None
    if memory is not None and not dry_run:
        raise click.UsageError("--memory needs --dry-run")
    if dry_run:
        from .dry_run import rehearse
        from .memory_advice import size

        if resume:
            raise click.UsageError("--dry-run cannot resume a run; leave --resume out")
        if start_from is not None:
            from i2i_core.training.launch import forked

            source, assignments = forked(start_from, recipe, sets)
            recipe, sets = str(source), tuple(assignments)
        rehearse(recipe, plugins, sets, size(memory) if memory is not None else None)
        return
    if recipe is None and not resume and start_from is None:
        raise click.UsageError("name a recipe with --recipe, for example --recipe stargan_v2.yaml")
    if resume and run_dir is None:
        raise click.UsageError("--resume needs --run-dir, the folder of the run to continue")
    if resume and start_from is not None:
        raise click.UsageError("--resume continues a run from its own state; leave --from out")
    # On a busy machine, threads that spin while they wait are slow. OpenMP reads this once, when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    gc.disable()  # collections during the imports take 0.15 s and free nothing
    from i2i_core.disk import checkpoints
    from i2i_core.training import launch

    gc.freeze()
    gc.enable()
    run = launch.train(
        recipe,
        plugins,
        sets=sets,
        run_dir=run_dir,
        resume=resume,
        resume_from=resume_from,
        start_from=start_from,
        warn=warn,
    )
    if run.is_main and run.folder is not None:
        click.echo(f"run         {run.folder}")
        for checkpoint in checkpoints.committed(run.folder / "checkpoints")[:1]:
            click.echo(f"checkpoint  {checkpoint}")
        for picture in sorted((run.folder / "samples").glob(f"step-{run.step:08d}-*.png")):
            click.echo(f"picture     {picture}")
