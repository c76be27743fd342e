"""`i2i train`: from a recipe and a folder to a finished, saved, or well-explained stopped run."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from filelock import BaseFileLock

from i2i_core import folder as run_folder
from i2i_core import state
from i2i_core.build import build_run
from i2i_core.check import Checked, check_recipe
from i2i_core.errors import I2IError, Interrupted, OutOfMemory, Preempted, Problem, RecipeError
from i2i_core.marks import load_text
from i2i_core.plugins import Plugins
from i2i_core.recipe import find_recipe, load_recipe
from i2i_core.resolved import differences, dump, free_on_resume, resolve
from i2i_core.run import Run

Warn = Callable[[str], None]


def load(recipe: str | Path, sets: Sequence[str], plugins: Plugins) -> Checked:
    """Find, read and check a recipe; the launcher's mixed precision counts where the recipe names none."""
    path = find_recipe(recipe, plugins.recipes())
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    loaded = load_recipe(path, sets)
    if launcher not in ("no", "") and (launcher == "fp16" or ("precision",) not in loaded.document.values):
        loaded = load_recipe(path, [*sets, f"precision={launcher}"])
    return check_recipe(loaded, plugins)


def make_accelerator(precision: str) -> Accelerator:
    """Accelerate's view of this process; gradients are accumulated and averaged by the phases, not by it."""
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no")


def train(recipe: str | Path | None, plugins: Plugins, *, sets: Sequence[str] = (), run_dir: Path | None = None,
          resume: bool = False, warn: Warn = print) -> Run:
    """Train, or continue the run in `run_dir`; returns the run, raises an I2IError that says why it stopped.

    With `resume`, `recipe` may be left out: the run's own is used, and a different one is refused.
    """
    if resume and run_dir is None:
        raise RecipeError([Problem("--resume needs --run-dir, the folder of the run to continue")])
    saved = run_dir / run_folder.RECIPE if run_dir is not None and resume else None
    if saved is not None and not saved.is_file():
        raise RecipeError([Problem(f"{run_dir} holds no run to resume: it has no {run_folder.RECIPE}")])
    named = recipe if recipe is not None else saved
    if named is None:
        raise RecipeError([Problem("name a recipe with --recipe, for example --recipe stargan_v2.yaml")])
    checked = load(named, sets, plugins)
    resolved = resolve(checked)
    earlier = saved.read_text(encoding="utf-8") if saved is not None else ""
    before = load_text(earlier, str(saved)).data or {}
    if saved is not None and (changed := differences(before, resolved, free_on_resume(checked))):
        raise RecipeError([Problem(f"the recipe differs from the run's, so it cannot be resumed: "
                                   f"{'; '.join(changed)}", hint="start a new run, or undo the change")])
    accelerator = make_accelerator(checked.recipe.precision)
    if accelerator.num_processes > 1:
        _watch_parent()
    say = warn if accelerator.is_main_process else _nobody
    folder, held = _shared_folder(accelerator, run_dir, Path(named).stem, resume)
    run: Run | None = None
    try:
        with _explained(folder, accelerator.is_main_process, lambda: run.step if run else 0):
            checkpoint = run_folder.checkpoint_to_resume(folder, say) if resume else None
            finished = resume and run_folder.is_finished(folder)
            with _warnings_to(say):
                run = build_run(checked, accelerator, folder)
            run.start(checkpoint)
            if accelerator.is_main_process:
                if resolved != before:
                    origins = earlier if recipe is None else ""
                    state.write_file(folder / run_folder.RECIPE, dump(resolved, checked.recipe.document, origins))
                run_folder.write_environment(folder, plugins, accelerator.num_processes, torch.get_num_threads())
                run_folder.truncate_metrics(folder, checkpoint.step if checkpoint else 0)
            if run.step >= checked.recipe.steps and finished:
                say(f"{folder} is finished: {run.step} of {checked.recipe.steps} steps are done")
            else:
                if accelerator.is_main_process:
                    run_folder.write_status(folder, "running", run.step)
                with _signals(run):
                    run.trainer.train(run)
                    _raise_if_stopped(run)
                if accelerator.is_main_process:
                    run_folder.write_status(folder, "finished", run.step, 0)
        return run
    finally:
        with suppress(OSError):  # a tracker's last lines on a full disk
            accelerator.end_training()
        if held is not None:
            held.release()


def _nobody(_: str) -> None:
    """What a process that is not the main one warns of, the main one says."""


@contextmanager
def _warnings_to(warn: Warn) -> Iterator[None]:
    """What components warn of in Python's way reaches the user in ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
        yield


def _shared_folder(accelerator: Accelerator, run_dir: Path | None, name: str,
                   resume: bool) -> tuple[Path, BaseFileLock | None]:
    """The main process makes and locks the folder; all learn its name, or why there is none."""
    answer: list[Any] = [None]
    held = None
    if accelerator.is_main_process:
        try:
            folder = run_dir if resume and run_dir else run_folder.make(run_dir, name)
            held = run_folder.lock(folder)
            answer = [folder]
        except I2IError as error:
            answer = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(answer)
    if isinstance(answer[0], I2IError):
        raise answer[0]
    return Path(answer[0]), held


@contextmanager
def _explained(folder: Path, is_main: bool, step: Callable[[], int]) -> Iterator[None]:
    """Turn what stops a run into an I2IError, and write it to status.json."""
    try:
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; continue with: i2i train --run-dir {folder} --resume") from None
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(f"out of memory: {error}. Lower data.batch_size or the networks' widths") from error
        except OSError as error:  # a hook or a tracker that does not explain its own
            if error.errno not in state.FULL:
                raise
            raise state.disk_error(error, folder) from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error):
                raise OutOfMemory("out of memory; lower data.batch_size or the networks' widths") from error
            raise
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, I2IError):
            with suppress(I2IError):
                _keep_traceback(error, folder)
        if is_main:
            code = error.exit_code if isinstance(error, I2IError) else 1
            state_name = "stopped" if code in (75, 130, 143) else "failed"
            with suppress(I2IError):  # a full disk: the first error matters
                run_folder.write_status(folder, state_name, step(), code, str(error))
        raise


def _keep_traceback(error: Exception, folder: Path) -> None:
    """Into the run's logs, one file per process; the error carries a note that says where."""
    file = folder / "logs" / f"traceback-{os.environ.get('RANK', '0')}.txt"
    state.write_file(file, "".join(traceback.format_exception(error)))
    error.add_note(f"the traceback is in {file}")


def _raise_if_stopped(run: Run) -> None:
    if run.stopping and run.step < run.recipe.steps:
        run.save()
        again = f"saved at step {run.step}; continue with: i2i train --run-dir {run.folder} --resume"
        if run.stop_requested == signal.SIGINT:
            raise Interrupted(again)
        raise Preempted(again)


@contextmanager
def _signals(run: Run) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C let the step end and be saved; a second Ctrl-C stops at once."""

    def handler(number: int, _: Any) -> None:
        if number == signal.SIGINT and run.stop_requested:
            raise KeyboardInterrupt
        run.stop_requested = number

    in_main = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, handler) for s in (signal.SIGTERM, signal.SIGINT)} if in_main else {}
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
