"""The implementation of `i2i train` and `i2i.train`: one training in a run folder, from start to end."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from i2i_core.disk import checkpoints
from i2i_core.disk.files import write_file
from i2i_core.disk.seals import sealed
from i2i_core.errors import I2IError, Interrupted, LostProcess, Preempted, UsageError
from i2i_core.models.source import START, find, folder_of, name_of, recipe_of
from i2i_core.plan.check import RecipeSource, load, load_again
from i2i_core.plan.checked import Checked
from i2i_core.plan.resolved import components, dump
from i2i_core.recipe.document import json_in_yaml
from i2i_core.registry import environment
from i2i_core.registry.plugins import Plugins
from i2i_core.training import run_folder
from i2i_core.training.compute import launched_alone, make_accelerator, require_bf16
from i2i_core.training.earlier import Earlier
from i2i_core.training.failures import explained, how_to_resume
from i2i_core.training.peers import Watch, launcher_words, peers_of
from i2i_core.training.run import Run
from i2i_core.training.run_folder import Lock
from i2i_core.training.stopping import stop_signals

Warn = Callable[[str], None]


def train(
    recipe: RecipeSource | None,
    plugins: Plugins,
    *,
    sets: Sequence[str] = (),
    run_dir: Path | None = None,
    resume: bool = False,
    resume_from: int | None = None,
    start_from: Path | None = None,
    warn: Warn = print,
) -> Run:
    """Train a recipe in a new run folder, or resume the run in `run_dir`. Return the finished run.

    resume_from: the step of the checkpoint from which to resume, by default the newest one that is valid. Later ones
    are moved to the folder "aside" of the run.
    start_from: the folder of a run, of one of its checkpoints or of a model from whose state the new run starts.
    With `resume` or `start_from`, `recipe` may be None: the run's own is used. A recipe that differs in ways that
    cannot be resumed is refused. Raises an I2IError with the reason if training stops early.
    """
    resume = resume or resume_from is not None
    if resume and start_from is not None:
        raise UsageError("a run that is resumed has its own state; leave out resume, or the run to start from")
    earlier, name = Earlier.read(run_dir, recipe is not None, warn) if resume else None, ""
    saved = earlier.folder / run_folder.RECIPE if earlier else None
    named, folder = recipe if recipe is not None else saved, earlier.folder if earlier else None
    if start_from is not None:
        named, sets = forked(start_from, recipe, sets)
        if recipe is None:
            folder, name = folder_of(start_from), name_of(start_from)
    if named is None:
        raise UsageError("name a recipe, for example stargan_v2.yaml")
    checked = load_again(named, sets, plugins, folder) if folder else load(named, sets, plugins)
    changed = earlier.changes(checked) if earlier else []
    accelerator = make_accelerator(checked.recipe.precision)
    say: Warn = warn if accelerator.is_main_process else lambda _: None
    if launched_alone():
        say(
            "accelerate launch has started one process, since without several GPUs it ignores --num_processes; "
            "for two on a CPU: ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 -m i2i_cli train ..."
        )
    peers = peers_of(accelerator)
    with _locked_folder(accelerator, run_dir, name or _name(named), resume) as (folder, lock), _warnings_to(say):
        for difference in earlier.differences(changed, plugins) if earlier else ():
            say(difference)
        launch = _Launch(checked, plugins, accelerator, folder, lock, say)
        launched = bool(launcher_words()) or accelerator.num_processes > 1
        watch = Watch(peers, launched, checked.recipe.timeout, launch.needs_others, launch.give_up)
        try:
            with closing(watch), stop_signals(lambda: launch.run):
                return launch.train(earlier, resume_from, origins=earlier.recipe if earlier and named == saved else "")
        except BaseException as error:
            raised = explained(error, folder, plugins, peers)
            launch.record_failure(raised)
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


@dataclass
class _Launch:
    """One start of training in a folder."""

    checked: Checked
    plugins: Plugins
    accelerator: Accelerator
    folder: Path
    lock: Lock | None
    """The lock of the folder, in the main process."""
    say: Warn
    run: Run | None = field(default=None, init=False)
    """The run, once it is built."""
    checkpoint: checkpoints.Checkpoint | None = field(default=None, init=False)

    def train(self, earlier: Earlier | None, resume_from: int | None, origins: str) -> Run:
        """Build the run, train it to its end, and return it. Raises Interrupted or Preempted if a signal stops it.

        origins: the resolved recipe whose comments give the origins of values, if the run is resumed with it.
        """
        run, folder, steps = self._build(earlier, resume_from), self.folder, self.checked.recipe.steps
        if earlier and earlier.finished and run.step >= steps:
            self.say(f"{folder} is finished: {run.step} of {steps} steps are done")
            return run
        if run.is_main:
            if resume_from is not None and (later := checkpoints.set_aside(folder / "checkpoints", resume_from)):
                self.say(f"later checkpoints are now in {later[0].parent}: {', '.join(path.name for path in later)}")
            write_file(folder / run_folder.RECIPE, sealed(dump(self.checked, origins)))
            if run.beginning:
                write_file(folder / START, json.dumps(run.beginning.facts(), indent=1))
            environment.write(folder, components(self.checked), self.plugins, self.accelerator)
            expected = self.checkpoint.info.get("logged", 0) if self.checkpoint else 0
            run.logged = run_folder.truncate_metrics(folder, run.step, expected, self.say)
            run_folder.write_status(folder, "running", run.step)
        run.trainer.train(run)
        if run.stopping and run.step < steps:
            run.check_folder()
            run.save()
            again = f"saved at step {run.step}; {how_to_resume(folder, self.plugins)}"
            raise Interrupted(again) if run.stop_requested == signal.SIGINT else Preempted(again)
        if run.is_main:
            run_folder.write_status(folder, "finished", run.step, 0)
        return run

    def _build(self, earlier: Earlier | None, resume_from: int | None) -> Run:
        """Build the run and load its checkpoint, if any."""
        if earlier:
            saved = self.folder / "checkpoints"
            self.checkpoint = (
                checkpoints.newest(saved, self.say) if resume_from is None else checkpoints.at(saved, resume_from)
            )
            if self.checkpoint is None:
                self.say(f"{self.folder} has no checkpoint yet; starting at step 0")
        require_bf16(self.checked.recipe, self.accelerator.device)
        self.run = run = Run(self.checked, self.accelerator, self.folder)
        if self.lock is not None:
            run.check_folder = self.lock.check
        run.start(self.checkpoint)
        if run.beginning and run.is_main:
            print(*run.beginning.lines(), sep="\n", file=sys.stderr)
        world = earlier.environment.get("world_size") if earlier else None
        if world not in (None, self.accelerator.num_processes):
            kept = [name for name, call in run.stateful.items() if not getattr(call, "same_in_all_processes", False)]
            but = f", except for the state of {' and '.join(kept)}, kept per process" * bool(kept)
            self.say(f"{self.folder} was trained in {world} processes until now; results agree up to rounding{but}")
        return run

    def needs_others(self) -> bool:
        """Return True while the processes of the run train together; at its end, each ends when it is done."""
        return self.run is not None and self.run.step < self.checked.recipe.steps

    def give_up(self, reason: str) -> None:
        """End this process at once, which waits for what does not come."""
        error = LostProcess(f"{reason}, so the run ends; {how_to_resume(self.folder, self.plugins)}")
        self.record_failure(error)
        print(f"rank {self.accelerator.process_index}: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)

    def record_failure(self, error: BaseException) -> None:
        """Write status.json for a run that ends with an error, unless its folder is another's by now."""
        if self.lock is None or self.lock.is_lost():
            return
        with suppress(I2IError):  # on a full disk the first error matters
            status = "stopped" if isinstance(error, Interrupted | Preempted) else "failed"
            begun = self.run or self.checkpoint
            run_folder.write_status(
                self.folder, status, begun.step if begun else 0, getattr(error, "exit_code", 1), str(error)
            )


def _name(recipe: RecipeSource) -> str:
    """Return the name of the run folder."""
    return "recipe" if isinstance(recipe, Mapping) else Path(recipe).stem


@contextmanager
def _locked_folder(
    accelerator: Accelerator, run_dir: Path | None, name: str, resume: bool
) -> Iterator[tuple[Path, Lock | None]]:
    """Create and lock the run folder in the main process; provide its path, or raise its error, in all processes."""
    answer: list[Any] = [None]
    lock = None
    with ExitStack() as until_the_end:
        if accelerator.is_main_process:
            try:
                answer = [run_dir if resume and run_dir else run_folder.make(run_dir, name)]
                lock = until_the_end.enter_context(Lock(answer[0]))
            except I2IError as error:
                answer = [error]
        broadcast_object_list(answer)
        if isinstance(answer[0], I2IError):
            raise answer[0]
        yield answer[0], lock


@contextmanager
def _warnings_to(warn: Warn) -> Iterator[None]:
    """Pass Python warnings in this block to `warn`."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
        yield
