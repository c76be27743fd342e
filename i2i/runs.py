"""Training in Python, and access to the results of a run."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from i2i.logged import read_numbers
from i2i_core.data.decoding.files import read_picture
from i2i_core.errors import DataError, UsageError
from i2i_core.recipe.document import json_in_yaml
from i2i_core.registry.plugins import discover
from i2i_core.training.run_folder import read_status

if TYPE_CHECKING:
    from i2i.translator import Translator

SAMPLE = re.compile(r"step-(\d+)-(.+)\.png")


def train(
    recipe: str | Path | Mapping[str, object] | None = None,
    *,
    set: Mapping[str, object] | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    resume_from: int | None = None,
    start_from: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
) -> TrainedRun:
    """Train a recipe as `i2i train` does, and return the run.

    recipe: the name of a bundled recipe, the path of a file, or a mapping; None with `resume` or `start_from`, which
    then use the recipe of the run or model.
    set: values of the recipe to override, such as {"steps": 100, "data.batch_size": 4}.
    run_dir: the folder of the run, by default the next free one of runs/NAME-001, -002, ...
    resume: continue the run in `run_dir`.
    resume_from: continue it from its checkpoint of this step; later ones are moved to its folder "aside".
    start_from: the folder of a run, of one of its checkpoints or of a model from whose state the new run starts.
    plugins: files of one-file plugins to load in addition to the installed plugins.

    Progress and warnings go to stderr. Raises an `i2i_core.errors.I2IError` for a mistake in the recipe, or if training
    stops. Ctrl-C finishes the step, saves a checkpoint and raises `Interrupted`.
    """
    from i2i_core.training.launch import train as launch

    if not isinstance(recipe, str | Path | Mapping | None):
        raise UsageError(f"a recipe is a name, a path or a mapping, not {type(recipe).__name__}")
    files = _files(plugins)
    run = launch(
        recipe,
        discover(files=files),
        sets=_assignments(set or {}),
        run_dir=Path(run_dir) if run_dir is not None else None,
        resume=resume,
        resume_from=resume_from,
        start_from=Path(start_from) if start_from is not None else None,
        warn=lambda message: print(f"warning: {message}", file=sys.stderr),
    )
    assert run.folder is not None
    return TrainedRun(run.folder, files)


def load_run(folder: str | Path, *, plugins: Sequence[str | Path] = ()) -> TrainedRun:
    """Return the run in a folder, finished or not; raises UsageError if the folder is not a run."""
    if not (Path(folder) / "recipe.yaml").is_file():
        raise UsageError(f"{folder} is not the folder of a run: it has no recipe.yaml")
    return TrainedRun(Path(folder), _files(plugins))


def _assignments(changes: Mapping[str, Any]) -> list[str]:
    if not isinstance(changes, Mapping):
        raise UsageError(f'set is a mapping such as {{"steps": 100}}, not {type(changes).__name__}')
    return [f"{name}={json_in_yaml(value, default=partial(_plain, name))}" for name, value in changes.items()]


def _plain(name: str, value: Any) -> Any:
    """Return a value as JSON has it: a path as text, a number of numpy or torch as Python's."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and hasattr(value, "dtype"):
        return value.item()
    raise UsageError(f"{name} is set to a {type(value).__name__}, which a recipe cannot hold")


def _files(plugins: Sequence[str | Path]) -> tuple[Path, ...]:
    if isinstance(plugins, str | Path):
        raise UsageError(f"plugins is a list of files: [{str(plugins)!r}]")
    return tuple(Path(file) for file in plugins)


class TrainedRun:
    """The folder of a run: its metrics, sample grids and model.

    Each access reads the folder again, so the run may still be training.
    """

    def __init__(self, folder: Path, plugins: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        """The run's folder."""
        self._plugins = plugins

    @property
    def status(self) -> str:
        """The state of the run: running, finished, stopped or failed; "unknown" without a record of it."""
        return str(read_status(self.folder).get("status", "unknown"))

    @property
    def step(self) -> int:
        """The number of finished iterations that the folder records."""
        logged = read_numbers(self.folder / "metrics.jsonl").steps
        said = read_status(self.folder).get("step")
        return max([said if isinstance(said, int) else 0, *logged[-1:]])

    def metrics(self) -> Mapping[str, Sequence[float | None]]:
        """Return the logged numbers as columns: "step", then "phase/loss"; None if one was not logged at a step.

        `pandas.DataFrame(run.metrics())` makes a table of them.
        """
        numbers = read_numbers(self.folder / "metrics.jsonl")
        return {"step": numbers.steps, **numbers.columns}

    def samples(self, step: int | None = None) -> dict[str, Image.Image]:
        """Return the pictures that hooks drew after a step, by default the newest, by the name of the hook.

        A picture that cannot be read is left out, with a warning. Raises UsageError for a step without pictures.
        """
        files: dict[int, dict[str, Path]] = {}
        for file in sorted((self.folder / "samples").glob("step-*.png")):
            if found := SAMPLE.fullmatch(file.name):
                files.setdefault(int(found[1]), {})[found[2]] = file
        if step is not None and step not in files:
            raise UsageError(
                f"{self.folder} has no pictures of step {step}; the steps with pictures are: "
                f"{', '.join(map(str, files)) or 'none'}"
            )
        newest = files[max(files) if step is None else step] if files else {}
        pictures = {}
        for name, file in newest.items():
            try:
                pictures[name] = read_picture(file)
            except DataError as error:
                warnings.warn(str(error), stacklevel=2)  # cut short, say; the others are good
        return pictures

    def model(self, *, device: str | None = None) -> Translator:
        """Return the model of the newest checkpoint, as `i2i.load` does; raises CheckpointError if there is none."""
        from i2i.loading import load

        return load(self.folder, device=device, plugins=discover(files=self._plugins))

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.folder)!r}: {self.status} at step {self.step:,})"
