"""Contract tests for plugins: `check_plugin("my_plugin")`, for any test framework or none."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i_core.data.sets import build_data
from i2i_core.disk import checkpoints
from i2i_core.errors import DataError, PluginError, RecipeError, did_you_mean
from i2i_core.plan.check import load
from i2i_core.plan.checked import Checked
from i2i_core.plan.tensors import method_tensors
from i2i_core.recipe.sections import Recipe
from i2i_core.registry.entries import Entry
from i2i_core.registry.hook_methods import event_problems
from i2i_core.registry.plugins import Plugins, discover
from i2i_core.registry.signatures import facts_for, signature_of

DISCOVERY = """
import importlib, sys
before = set(sys.modules)
from i2i_core.registry.entries import Registrar, Registry
plugin = importlib.import_module(sys.argv[1])
if hasattr(plugin, "i2i_components"):
    plugin.i2i_components(Registrar(Registry(), "", ""))
print(*sys.modules.keys() - before)
"""
"""The plugin discovery of every `i2i` command, as a script; it prints the modules that it imported."""
PATIENCE = 10
"""Time limit of several processes as a multiple of the time of one; beyond it they are taken for deadlocked."""
PER_PROCESS = ("tensors/", "losses/")
"""Prefixes of the checkpoint parts that differ between processes: the state of tensors and losses."""
RTOL, ATOL = 1e-6, 1e-9
"""Tolerances for rounding in float64, above its size and below the effect of another order of samples."""


def check_plugin(name: str, *, sets: Sequence[str] = (), processes: int = 2) -> None:
    """Check an installed plugin. Raises AssertionError that lists all failures, one sentence per line.

    - Importing its first module imports neither torch nor numpy, nor the modules of its components.
    - Every component can be imported, has type annotations for its arguments and results, and has a docstring that
      begins with a summary line and names each of its recipe keys.
    - Every bundled recipe is valid and trains two steps on the CPU.
    - A run that is resumed after its first step ends with a checkpoint equal bit for bit (networks, optimizers, state
      of hooks) to that of an uninterrupted run.
    - A run in several `processes` ends with the result of one process, in float64 up to rounding, if they can share the
      batch. Batch norm and dropout depend on how a batch is shared; pass processes=1 for a plugin that uses them.

    sets: changes to every recipe before training, as with --set, for example fewer channels or other pictures.
    processes: number of processes of the last check, at least 1.
    A recipe takes seconds to train. Recipes whose pictures are missing are not trained, with a warning. Components that
    no recipe uses are imported and inspected, but not run.
    """
    if processes < 1:
        raise ValueError(f"processes should be at least 1, not {processes}")
    plugins = discover()
    row = next((row for row in plugins.rows if row.name == name), None)
    if row is None:
        hint = did_you_mean(name, [row.name for row in plugins.rows])
        raise AssertionError(f"no plugin called {name} is installed" + (f" ({hint})" if hint else ""))
    if row.error:
        raise AssertionError(f"plugin {name} does not load: {row.error}")
    entries = [entry for entry in plugins.registry if entry.plugin == name]
    plugin: Any = plugins.manager.get_plugin(name)
    failures, targets = list(_heavy_imports(plugin.__name__, entries)), dict[Entry, Any]()
    for entry in entries:
        try:
            targets[entry] = entry.load()
        except PluginError as error:
            failures.append(
                f"{entry.kind} {entry.name}: {entry.target} does not import: "
                f"{type(error.__cause__).__name__}: {error.__cause__}"
            )
    for entry, target in targets.items():
        failures += [f"{entry.kind} {entry.name}: {failure}" for failure in _of_component(entry, target)]
    if len(targets) == len(entries):  # else recipes fail for the same reason
        failures += _of_recipes(name, plugins, sets, processes)
    if failures:
        raise AssertionError("\n".join(failures))


def _heavy_imports(package: str, entries: Sequence[Entry]) -> Iterator[str]:
    heavy = {"torch", "numpy", *(entry.target.partition(":")[0] for entry in entries)} - {package}
    done = subprocess.run(
        [sys.executable, "-c", DISCOVERY, package], capture_output=True, text=True, check=True, env=_environment()
    )
    if found := sorted(heavy & set(done.stdout.split())):
        yield (
            f"{package} imports {', '.join(found)}, which would slow down every i2i command; import it where it is "
            f"used, and register components by their import path"
        )


def _of_component(entry: Entry, target: Any) -> Iterator[str]:
    """Yield the failures of a component: missing annotations, unknown events, missing documentation."""
    for name, function in _functions(target):
        signature = inspect.signature(function)
        untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]
        if untyped:
            yield f"{name} has no type annotation for {', '.join(untyped)}"
        if signature.return_annotation is signature.empty and name != "__init__":
            yield f"{name} has no return annotation"
    if entry.kind == "hook" and inspect.isclass(target):
        yield from map(str, event_problems(target))
    keys, hints = signature_of(target, entry.kind).params, signature_of(target, entry.kind).hints
    if unread := [key for key, p in keys.items() if p.annotation is not p.empty and key not in hints]:
        yield f"the type of {', '.join(unread)} cannot be read at run time, so recipes are not checked; import its name"
    doc = f"{target.__doc__ or ''} {target.__init__.__doc__ or '' if inspect.isclass(target) else ''}"
    if not (target.__doc__ or "").strip():
        yield "it has no docstring; i2i ls prints its first line"
    elif missing := [key for key in keys if key not in facts_for(entry.kind) and not re.search(rf"\b{key}\b", doc)]:
        yield f"its docstring does not name {', '.join(missing)}"


def _functions(target: Any) -> list[tuple[str, Callable[..., object]]]:
    """Return the functions to check, with their names: a function itself, a method's tensors, or a class's methods."""
    if inspect.ismodule(target):
        return [(name, getattr(target, name)) for name in method_tensors(target)]
    if not inspect.isclass(target):
        return [(getattr(target, "__name__", type(target).__name__), target)]
    return [
        (name, function)
        for name, function in vars(target).items()
        if inspect.isfunction(function) and (not name.startswith("_") or name in ("__init__", "__call__"))
    ]


def _of_recipes(name: str, plugins: Plugins, sets: Sequence[str], processes: int) -> Iterator[str]:
    others = plugins.manager.get_plugins() - {plugins.manager.get_plugin(name)}
    for folder in map(Path, plugins.manager.subset_hook_caller("i2i_recipes", others)()):
        recipes = sorted(folder.glob("*.yaml"))
        if not recipes:
            yield f"i2i_recipes returns {folder}, which holds no recipe; declare recipes as package-data"
        for recipe in recipes:
            try:
                load(recipe, (), plugins)
                checked = load(recipe, sets, plugins)
            except RecipeError as error:
                yield from map(str, error.problems)
            except PluginError as error:  # of another plugin's component
                yield f"{recipe.name}: {error}"
            else:
                if missing := _missing_data(checked):
                    warnings.warn(f"{recipe.name} was not trained: {missing}", stacklevel=3)
                else:
                    yield from _of_training(recipe, checked.recipe, sets, processes)


def _missing_data(checked: Checked) -> str:
    try:
        build_data(checked)
    except DataError as error:
        return str(error)
    except Exception:  # not about missing pictures: training reports it
        return ""
    return ""


def _of_training(file: Path, recipe: Recipe, sets: Sequence[str], processes: int) -> Iterator[str]:
    """Train two steps of a recipe: in one go, resumed after the first, and in several processes. Yield the failures."""
    two_steps = [*sets, "steps=2", "hooks.checkpoint={use: checkpoint, every: 1, keep: 2}"]
    two_steps += [*recipe.with_all_phases(), *recipe.silenced()]
    arguments = ["--recipe", str(file), *(word for change in two_steps for word in ("--set", change))]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        whole, resumed, one, many = (Path(temporary) / run for run in ("whole", "resumed", "one", "many"))
        if failure := _train(whole, arguments):
            yield f"{file.name} does not train: {failure}"
            return
        shutil.copytree(whole, resumed, ignore=shutil.ignore_patterns("step-00000002", "run.lock"))
        if failure := _train(resumed, ["--resume"]):
            yield f"{file.name} cannot be resumed after its first step: {failure}"
        elif parts := _different(whole, resumed, torch.equal):
            yield (
                f"{file.name}: a run that is resumed after its first step ends with other {', '.join(parts)} than "
                f"an uninterrupted run; state that the second step needs is not saved in the checkpoint, or not loaded"
            )
        if processes == 1 or recipe.data.batch_size % processes:
            return
        began, limit = time.monotonic(), None
        for run, world in ((one, 1), (many, processes)):
            if failure := _train(run, [*arguments, "--set", "precision=fp64"], world, limit):
                yield f"{file.name} does not train in float64 in {world} process{'es' * (world > 1)}: {failure}"
                return
            limit = PATIENCE * (1 + time.monotonic() - began)
        parts = [part for part in _different(one, many, _close) if not part.startswith(PER_PROCESS)]
        if parts:
            yield (
                f"{file.name}: {processes} processes end with other {', '.join(parts)} than one; losses should be "
                f"means over the batch, and what is computed of a sample should not depend on the others"
            )


def _train(folder: Path, arguments: Sequence[str], processes: int = 1, limit: float | None = None) -> str:
    """Run `i2i train` on the CPU for at most `limit` seconds. Return the reason for a failure, or ""."""
    launcher, logs = list[str](), folder.with_name(f"{folder.name}-logs")
    if processes > 1:
        launcher = [
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--local-addr",
            "127.0.0.1",
            "--nproc-per-node",
            str(processes),
            "--log-dir",
            str(logs),
            "--redirects",
            "3",
        ]
    command = [sys.executable, *launcher, "-m", "i2i_cli", "train", "-v", "--run-dir", str(folder), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        try:
            _, output = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.terminate()  # not killed: the launcher ends the processes that it started
            waited = f"the processes still wait for each other after {limit:.0f} s"
            return f"{waited}; each has to make every collective call"
    if not process.returncode:
        return ""
    # The process that failed first has the reason; the others lost their connection to it.
    errors = sorted(logs.rglob("stderr.log"), key=lambda file: file.stat().st_mtime)
    output = errors[0].read_text(encoding="utf-8") if errors else output
    print(output, file=sys.stderr)  # with the traceback
    last = output.rstrip().rpartition("\n")[2]
    last = re.sub(r" \(the traceback is in [^)]*\)$|; the traceback is in [^)]*(?=\)$)", "", last)
    return last or f"it ended with exit code {process.returncode}"


def _environment() -> dict[str, str]:
    """Return the environment for a process that finds the same modules and uses no accelerator."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "CUDA_VISIBLE_DEVICES": "",
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }


def _different(first: Path, second: Path, same: Callable[[Tensor, Tensor], bool]) -> list[str]:
    """Return the names of the parts that differ between the newest checkpoints of two runs."""
    a, b = (checkpoints.verify(checkpoints.committed(run / "checkpoints")[0]).parts() for run in (first, second))
    return [
        part
        for part in sorted({*a, *b})
        if a.get(part, {}).keys() != b.get(part, {}).keys()
        or not all(same(tensor, b[part][name]) for name, tensor in a[part].items())
    ]


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=RTOL, atol=ATOL)
