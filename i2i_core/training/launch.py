"""The implementation of `i2i train` and `i2i.train`: one training in a run folder, from start to end."""

from __future__ import annotations

import json
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from i2i_core.disk import checkpoints
from i2i_core.disk.files import write_file
from i2i_core.errors import I2IError, Interrupted, Preempted, Problem, RecipeError, UsageError
from i2i_core.models.source import START, find, folder_of, name_of, recipe_of
from i2i_core.plan.check import RecipeSource, load, load_again
from i2i_core.plan.checked import Checked
from i2i_core.plan.resolved import Change, changes, components, dump
from i2i_core.recipe.document import json_in_yaml
from i2i_core.registry import environment
from i2i_core.registry.plugins import Plugins
from i2i_core.training import run_folder
from i2i_core.training.compute import launched_alone, make_accelerator, require_bf16
from i2i_core.training.failures import explained, how_to_resume
from i2i_core.training.run import Run
from i2i_core.training.stopping import stop_signals, watch_parent

Warn = Callable[[str], None]


def train(
    recipe: RecipeSource | None,
    plugins: Plugins,
    *,
    sets: Sequence[str] = (),
    run_dir: Path | None = None,
    resume: bool = False,
    start_from: Path | None = None,
    warn: Warn = print,
) -> Run:
    """Train a recipe in a new run folder, or resume the run in `run_dir`. Return the finished run.

    start_from: the folder of a run, of one of its checkpoints or of a model from whose state the new run starts.
    With `resume` or `start_from`, `recipe` may be None: the run's own is used. A recipe that differs in ways that
    cannot be resumed is refused. Raises an I2IError with the reason if training stops early.
    """
    if resume and start_from is not None:
        raise UsageError("a run that is resumed has its own state; leave out resume, or the run to start from")
    saved, name = _saved_recipe(run_dir) if resume else None, ""
    named, folder = recipe if recipe is not None else saved, saved.parent if saved else None
    if start_from is not None:
        named, sets = forked(start_from, recipe, sets)
        if recipe is None:
            folder, name = folder_of(start_from), name_of(start_from)
    if named is None:
        raise UsageError("name a recipe, for example stargan_v2.yaml")
    checked = load_again(named, sets, plugins, folder) if folder else load(named, sets, plugins)
    before = _Before.of(saved, checked) if saved else None
    accelerator = make_accelerator(checked.recipe.precision)
    if accelerator.num_processes > 1:
        watch_parent()
    elif launched_alone():
        warn(
            "accelerate launch has started one process, since without several GPUs it ignores --num_processes; "
            "for two on a CPU: ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 -m i2i_cli train ..."
        )
    launch = _Launch(checked, plugins, accelerator, warn if accelerator.is_main_process else lambda _: None)
    with _locked_folder(accelerator, run_dir, name or _name(named), resume) as folder, stop_signals(lambda: launch.run):
        try:
            return launch.train(folder, before, origins=before.recipe if before and named == saved else "")
        except BaseException as error:
            raised = explained(error, folder, plugins)
            launch.record_failure(folder, raised)
            if raised is error:
                raise
            raise raised from error
        finally:
            with suppress(OSError):  # a tracker may write to a full disk
                accelerator.end_training()


def forked(place: Path, recipe: RecipeSource | None, sets: Sequence[str]) -> tuple[RecipeSource, Sequence[str]]:
    """Return the recipe of a run that starts from `place`, and its assignments; by default, the recipe of `place`.

    The newest checkpoint is named, so that the recipe of the run stays true when the other run goes on.
    """
    start = f"start_from={json_in_yaml(str(find(place)))}"
    if recipe is not None:
        return recipe, [start, *sets]
    return recipe_of(place), [start, "weights=null", "heads={}", *sets]  # what the other run started from


@dataclass(frozen=True)
class _Before:
    """The run to resume, as it was before."""

    recipe: str
    environment: Mapping[str, Any]
    finished: bool
    changes: Sequence[Change]
    """Differences of the recipe that resumes it."""

    @classmethod
    def of(cls, saved: Path, checked: Checked) -> _Before:
        """Read the run that has the recipe `saved`. Raises RecipeError if `checked` cannot resume it."""
        recipe = saved.read_text(encoding="utf-8")
        changed = changes(recipe, checked) if recipe else []
        if refused := [str(change) for change in changed if not change.allowed]:
            raise RecipeError(
                [
                    Problem(
                        f"the recipe differs from the run's, so it cannot be resumed: {'; '.join(refused)}",
                        hint="start a new run, or undo the change",
                    )
                ]
            )
        return cls(recipe, environment.read(saved.parent), run_folder.is_finished(saved.parent), changed)


@dataclass
class _Launch:
    """One start of training in a folder."""

    checked: Checked
    plugins: Plugins
    accelerator: Accelerator
    say: Warn
    run: Run | None = None
    """The run, once it is built."""
    checkpoint: checkpoints.Checkpoint | None = field(default=None, init=False)

    def train(self, folder: Path, before: _Before | None, origins: str) -> Run:
        """Build the run, train it to its end, and return it. Raises Interrupted or Preempted if a signal stops it.

        origins: the resolved recipe whose comments give the origins of values, if the run is resumed with it.
        """
        run = self._build(folder, before)
        steps = self.checked.recipe.steps
        if before and before.finished and run.step >= steps:
            self.say(f"{folder} is finished: {run.step} of {steps} steps are done")
            return run
        if run.is_main:
            write_file(folder / run_folder.RECIPE, dump(self.checked, origins))
            if run.beginning:
                write_file(folder / START, json.dumps(run.beginning.facts(), indent=1))
            environment.write(folder, components(self.checked), self.plugins, self.accelerator)
            run_folder.truncate_metrics(folder, run.step)
            run_folder.write_status(folder, "running", run.step)
        run.trainer.train(run)
        if run.stopping and run.step < steps:
            run.save()
            again = f"saved at step {run.step}; {how_to_resume(folder, self.plugins)}"
            raise Interrupted(again) if run.stop_requested == signal.SIGINT else Preempted(again)
        if run.is_main:
            run_folder.write_status(folder, "finished", run.step, 0)
        return run

    def _build(self, folder: Path, before: _Before | None) -> Run:
        """Build the run and load its newest checkpoint, if any. Report the differences from `before`."""
        if before:
            self._say_what_differs(folder, before)
            self.checkpoint = checkpoints.newest(folder / "checkpoints", self.say)
            if self.checkpoint is None:
                self.say(f"{folder} has no checkpoint yet; starting at step 0")
        require_bf16(self.checked.recipe, self.accelerator.device)
        with _warnings_to(self.say):
            self.run = run = Run(self.checked, self.accelerator, folder)
            run.start(self.checkpoint)
        if run.beginning and run.is_main:
            print(*run.beginning.lines(), sep="\n", file=sys.stderr)
        world = before.environment.get("world_size") if before else None
        if world not in (None, self.accelerator.num_processes):
            kept = [name for name, call in run.stateful.items() if not getattr(call, "same_in_all_processes", False)]
            but = f", except for the state of {' and '.join(kept)}, kept per process" * bool(kept)
            self.say(f"{folder} was trained in {world} processes until now; results agree up to rounding{but}")
        return run

    def _say_what_differs(self, folder: Path, before: _Before) -> None:
        for change in before.changes:
            if change.path[0] in ("optimizers", "seed"):
                self.say(f"resuming with {change}")
        if differ := environment.changed(before.environment, self.plugins):
            self.say(f"{folder} {differ}, so results may not be equal bit for bit")

    def record_failure(self, folder: Path, error: BaseException) -> None:
        """Write status.json for a run that ends with an error."""
        with suppress(I2IError):  # on a full disk the first error matters
            if self.accelerator.is_main_process:
                status = "stopped" if isinstance(error, Interrupted | Preempted) else "failed"
                begun = self.run or self.checkpoint
                run_folder.write_status(
                    folder, status, begun.step if begun else 0, getattr(error, "exit_code", 1), str(error)
                )


def _name(recipe: RecipeSource) -> str:
    """Return the name of the run folder."""
    return "recipe" if isinstance(recipe, Mapping) else Path(recipe).stem


def _saved_recipe(run_dir: Path | None) -> Path:
    if run_dir is None:
        raise UsageError("to resume, name the folder of the run (run_dir)")
    saved = run_dir / run_folder.RECIPE
    if not saved.is_file():
        raise UsageError(f"{run_dir} holds no run to resume: it has no {run_folder.RECIPE}")
    return saved


@contextmanager
def _locked_folder(accelerator: Accelerator, run_dir: Path | None, name: str, resume: bool) -> Iterator[Path]:
    """Create and lock the run folder in the main process; provide its path, or raise its error, in all processes."""
    answer: list[Any] = [None]
    with ExitStack() as until_the_end:
        if accelerator.is_main_process:
            try:
                answer = [run_dir if resume and run_dir else run_folder.make(run_dir, name)]
                until_the_end.callback(run_folder.lock(answer[0]).release)
            except I2IError as error:
                answer = [error]
        broadcast_object_list(answer)
        if isinstance(answer[0], I2IError):
            raise answer[0]
        yield answer[0]


@contextmanager
def _warnings_to(warn: Warn) -> Iterator[None]:
    """Pass Python warnings in this block to `warn`."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
        yield
