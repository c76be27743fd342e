"""The subcommand `i2i sweep`."""

from __future__ import annotations

import itertools
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, with_plugins, with_sets

if TYPE_CHECKING:
    from i2i_core.registry.plugins import Plugins

STOPPED = {75: 75, -signal.SIGTERM: 75, 130: 130, -signal.SIGINT: 130}
"""The exit code of a sweep by that of a run that was told to stop; one that just began ends by the signal itself."""


@dataclass(frozen=True)
class Trial:
    """A run of a sweep: its folder, its values as `--set` assignments, and the command that trains it."""

    folder: Path
    values: tuple[str, ...]
    options: tuple[str, ...]
    """Options of `i2i train` besides --run-dir and --resume."""

    @property
    def begun(self) -> bool:
        return (self.folder / "recipe.yaml").is_file()

    @property
    def command(self) -> list[str]:
        """The arguments of `i2i` that begin the run or, if it has begun, continue it."""
        return ["train", *self.options, "--run-dir", str(self.folder), *(["--resume"] if self.begun else [])]


@subcommand
@click.argument("recipe")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="A.B=X,Y,...",
    help="A key of the recipe and its values. With several, every combination is a run. Repeatable.",
)
@with_sets
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder of the runs. The default is runs/RECIPE-sweep.",
)
@click.option("--print", "only_print", is_flag=True, help="Print the commands of the runs instead, one a line.")
@with_plugins
def sweep(
    plugins: Plugins, recipe: str, grids: tuple[str, ...], sets: tuple[str, ...], to: Path | None, only_print: bool
) -> None:
    """Train RECIPE with several values, and compare the runs.

    Each combination of values is a run, one after another.

    The folder of a run is named after its values. Run the same command again to continue: finished runs are skipped,
    and those that stopped or failed are resumed. A run that fails does not end the sweep; the exit code is then that of
    the first one that failed. --print prints the commands of the runs that are left, for a cluster.

    \b
    i2i sweep stargan_v2.yaml --grid losses.generator.cycle.weight=0.5,1,2
    i2i sweep my.yaml --grid seed=0,1 --grid optimizers.default.lr=1e-4,1e-3 --print
    """
    loaded = [word for file in plugins.files for word in ("--plugin", str(file))]
    if plugins.registry_file is not None:
        loaded += ["--registry", str(plugins.registry_file)]
    options = ["--recipe", recipe, *(word for value in sets for word in ("--set", value)), *loaded]
    trials = _trials(to or Path("runs") / f"{Path(recipe).stem}-sweep", grids, options)
    left = [trial for trial in trials if not _is_done(trial, recipe, sets, plugins)]
    if only_print:
        for trial in left:
            click.echo(shlex.join(["i2i", *trial.command]))
        return
    from i2i_core.errors import counted

    failed: dict[str, int] = {}
    for n, trial in enumerate(trials, 1):
        what = "continuing" if trial.begun else "training"
        click.echo(f"{n} of {len(trials)}: {what if trial in left else 'finished:'} {trial.folder}", err=True)
        if trial in left and (code := _train(trial)):
            if code in STOPPED:  # and so are we
                raise _Stopped(f"stopped in {trial.folder}; run the same command again to continue", STOPPED[code])
            failed[trial.folder.name] = code
    _compare([trial.folder for trial in trials if trial.begun], trials[0].folder.parent)
    if failed:
        each = ", ".join(f"{name} (exit code {code})" for name, code in failed.items())
        raise _Stopped(f"{len(failed)} of {counted(len(trials), 'run')} failed: {each}", next(iter(failed.values())))


class _Stopped(click.ClickException):
    """A sweep that is not finished, with the exit code of a run."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]

    def show(self, file: object = None) -> None:
        click.echo(self.message, err=True)


def _trials(folder: Path, grids: Sequence[str], options: Sequence[str]) -> list[Trial]:
    """Return a trial for each combination of values."""
    keys = [_grid(grid) for grid in grids]
    names = _short([key for key, _ in keys])
    trials = []
    for values in itertools.product(*(values for _, values in keys)):
        sets = tuple(f"{key}={value}" for (key, _), value in zip(keys, values, strict=True))
        name = ",".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        own = tuple(word for value in sets for word in ("--set", value))
        trials.append(Trial(folder / _as_file(name), sets, (*options, *own)))
    if len({trial.folder for trial in trials}) < len(trials):
        raise click.UsageError("two runs of the sweep would have the same values; write each value once")
    return trials


def _grid(text: str) -> tuple[str, list[str]]:
    """Return the key of a --grid, and its values as YAML."""
    from i2i_core.errors import RecipeError
    from i2i_core.recipe.document import load_text

    key, equals, values = text.partition("=")
    if not equals or not key or not values.strip():
        raise click.UsageError(f"--grid {text} is not a grid; write for example --grid seed=0,1,2")
    written = f"[{values}]"
    try:
        document = load_text(written, "")
    except RecipeError as error:
        raise click.UsageError(f"--grid {text}: {error.problems[0].message}") from None
    starts = [document.values[(n,)].column - 1 for n in range(len(document.data))]
    ends = [*starts[1:], len(written) - 1]
    return key, [written[start:end].rstrip(" ,") for start, end in zip(starts, ends, strict=True)]


def _short(keys: Sequence[str]) -> list[str]:
    """Return the shortest ends of dotted keys that tell them apart, of two parts where there are as many."""
    parts = [key.split(".") for key in keys]
    for count in range(2, max(map(len, parts)) + 1):
        names = [".".join(part[-count:]) for part in parts]
        if len({*names}) == len(names):
            return names
    return list(keys)


def _as_file(name: str) -> str:
    """Return a name that every file system accepts."""
    plain = re.sub(r'[\s/\\:*?"\'<>|{}\[\]]+', "_", name)
    return re.sub(r"_*([,=])_*", r"\1", plain).strip("_")[:150]


def _is_done(trial: Trial, recipe: str, sets: Sequence[str], plugins: Plugins) -> bool:
    """Check the recipe of a trial, so that mistakes are known before anything is trained; return True if it is done."""
    from i2i_core.plan.check import load
    from i2i_core.training.run_folder import is_finished, read_status

    steps = load(recipe, [*sets, *trial.values], plugins).recipe.steps
    if not trial.begun or not is_finished(trial.folder):
        return False
    step = read_status(trial.folder).get("step")
    return isinstance(step, int) and step >= steps


def _train(trial: Trial) -> int:
    """Train in a process of its own, so that its failure does not end the sweep; return its exit code.

    SIGTERM is passed on; a terminal sends Ctrl-C to both processes. The run then saves a checkpoint and ends.
    """
    process = subprocess.Popen([sys.executable, "-m", "i2i_cli", *trial.command], stdout=subprocess.DEVNULL)
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _compare(runs: list[Path], folder: Path) -> None:
    from i2i.report.comparison import Comparison
    from i2i.report.run_report import read

    from .compare import show

    if len(runs) > 1:
        show(Comparison.of([read(run) for run in runs]), folder / "compare.html")
