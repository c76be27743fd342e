"""`i2i train`: from a recipe and a folder to a finished, saved, or well-explained stopped run."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from i2i_core.disk import checkpoints
from i2i_core.disk.files import FULL, disk_error, write_file
from i2i_core.errors import (
    DiskError,
    DiskFull,
    I2IError,
    Interrupted,
    OutOfMemory,
    Preempted,
    Problem,
    RecipeError,
    UsageError,
)
from i2i_core.plan.check import Source, load, load_again
from i2i_core.plan.resolved import changes, components, dump
from i2i_core.registry import environment
from i2i_core.registry.plugins import Plugins
from i2i_core.training import run_folder
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

Warn = Callable[[str], None]


def train(recipe: Source | None, plugins: Plugins, *, sets: Sequence[str] = (), run_dir: Path | None = None,
          resume: bool = False, warn: Warn = print) -> Run:
    """Train, or continue the run in `run_dir`; returns the run, raises an I2IError that says why it stopped.

    With `resume`, `recipe` may be left out: the run's own is used, and a different one is refused.
    """
    saved = _saved_recipe(run_dir) if resume else None
    named = recipe if recipe is not None else saved
    if named is None:
        raise UsageError("name a recipe with --recipe, for example --recipe stargan_v2.yaml")
    before = environment.read(saved.parent) if saved is not None else {}
    checked = load_again(named, sets, plugins, saved.parent) if saved else load(named, sets, plugins)
    earlier = saved.read_text(encoding="utf-8") if saved is not None else ""
    changed = changes(earlier, checked) if earlier else []
    if refused := [str(change) for change in changed if not change.allowed]:
        raise RecipeError([Problem(f"the recipe differs from the run's, so it cannot be resumed: {'; '.join(refused)}",
                                   hint="start a new run, or undo the change")])
    accelerator = make_accelerator(checked.recipe.precision)
    is_main = accelerator.is_main_process
    say: Warn = warn if is_main else lambda _: None
    if accelerator.num_processes > 1:
        _watch_parent()
    run: Run | None = None
    checkpoint: checkpoints.Checkpoint | None = None
    with _locked_folder(accelerator, run_dir, _name(named), resume) as folder, _signals(lambda: run):
        try:
            for change in changed:
                if change.path[0] in ("optimizers", "seed"):
                    say(f"resuming with {change}")
            world = before.get("world_size", accelerator.num_processes)
            if differ := environment.changed(before, plugins):
                say(f"{folder} {differ}, so what follows may differ in its bits")
            checkpoint = checkpoints.newest(folder / "checkpoints", say) if resume else None
            finished = resume and run_folder.is_finished(folder)
            if resume and checkpoint is None:
                say(f"{folder} has no checkpoint yet; starting at step 0")
            with _warnings_to(say):
                run = Run(checked, accelerator, folder)
                run.start(checkpoint)
            if world != accelerator.num_processes:
                but = f", but for {' and '.join(run.stateful)}, which remember what a process saw" * bool(run.stateful)
                say(f"{folder} was trained in {world} processes until now; what follows is the same up to rounding"
                    f"{but}")
            if finished and run.step >= checked.recipe.steps:
                say(f"{folder} is finished: {run.step} of {checked.recipe.steps} steps are done")
                return run
            if is_main:
                origins = earlier if named == saved else ""
                write_file(folder / run_folder.RECIPE, dump(checked, origins))
                environment.write(folder, components(checked), plugins, accelerator)
                run_folder.truncate_metrics(folder, run.step)
                run_folder.write_status(folder, "running", run.step)
            run.trainer.train(run)
            if run.stopping and run.step < run.recipe.steps:
                run.save()
                again = f"saved at step {run.step}; {_how_to_resume(folder, plugins)}"
                raise Interrupted(again) if run.stop_requested == signal.SIGINT else Preempted(again)
            if is_main:
                run_folder.write_status(folder, "finished", run.step, 0)
            return run
        except BaseException as error:
            explained = _explained(error, folder, plugins)
            with suppress(I2IError):  # on a full disk the first error matters
                if is_main:
                    code = getattr(explained, "exit_code", 1)
                    status = "stopped" if isinstance(explained, Interrupted | Preempted) else "failed"
                    begun = run or checkpoint
                    run_folder.write_status(folder, status, begun.step if begun else 0, code, str(explained))
            if explained is error:
                raise
            raise explained from error
        finally:
            with suppress(OSError):  # a tracker's last lines on a full disk
                accelerator.end_training()


def _name(recipe: Source) -> str:
    """The name of the run's folder."""
    return "recipe" if isinstance(recipe, Mapping) else Path(recipe).stem


def _saved_recipe(run_dir: Path | None) -> Path:
    if run_dir is None:
        raise UsageError("--resume needs --run-dir, the folder of the run to continue")
    saved = run_dir / run_folder.RECIPE
    if not saved.is_file():
        raise UsageError(f"{run_dir} holds no run to resume: it has no {run_folder.RECIPE}")
    return saved


@contextmanager
def _locked_folder(accelerator: Accelerator, run_dir: Path | None, name: str, resume: bool) -> Iterator[Path]:
    """The main process makes and locks the folder; all learn its name, or why there is none."""
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
    """What components warn of in Python's way reaches the user in ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
        yield


def _how_to_resume(folder: Path, plugins: Plugins) -> str:
    """The command, or that there is nothing yet to resume."""
    if not (folder / run_folder.RECIPE).exists():
        return "training had not begun; start it again"
    loaded = [("--plugin", file) for file in plugins.files]
    if plugins.registry_file is not None:
        loaded.append(("--registry", plugins.registry_file))
    words = ["i2i", "train", "--run-dir", folder, "--resume", *(word for pair in loaded for word in pair)]
    return f"continue with: {shlex.join(map(str, words))}"


def _explained(error: BaseException, folder: Path, plugins: Plugins) -> BaseException:
    """What stopped the run in a user's words; what nobody expected as it is, with a note of where its traceback is."""
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"interrupted; {_how_to_resume(folder, plugins)}")
    if isinstance(error, _Terminated):
        return Preempted(f"told to stop; {_how_to_resume(folder, plugins)}")
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return OutOfMemory(f"out of memory: {error}; i2i train --recipe ... --dry-run says which switch makes it fit")
    if isinstance(error, OSError) and error.errno in FULL:  # of a hook or a tracker that does not explain its own
        error = disk_error(error, folder)
    if isinstance(error, DiskFull):
        return DiskError(f"{error} and resume with --resume, nothing saved is lost")
    if isinstance(error, Exception) and not isinstance(error, I2IError):
        file = folder / "logs" / f"traceback-{os.environ.get('RANK', '0')}.txt"
        with suppress(I2IError):
            write_file(file, "".join(traceback.format_exception(error)))
            error.add_note(f"the traceback is in {file}")
    return error


class _Terminated(BaseException):
    """SIGTERM, where nothing has to be saved first."""


@contextmanager
def _signals(current: Callable[[], Run | None]) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C let the step end and be saved; before there is a run they stop at once."""
    if threading.current_thread() is not threading.main_thread():  # Python hears signals there only
        yield
        return

    def handler(number: int, _: Any) -> None:
        run = current()
        if number == signal.SIGINT and (run is None or run.stop_requested):
            raise KeyboardInterrupt
        if run is None:
            raise _Terminated
        run.stop_requested = number

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _watch_parent() -> None:
    """A killed torchrun leaves its workers running for ever: end when the parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
