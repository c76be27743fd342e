"""Training in Python: the same run as the command makes, and what it left."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from i2i.logged import read_numbers
from i2i_core.data.pictures import read_picture
from i2i_core.errors import UsageError
from i2i_core.recipe.document import json_in_yaml
from i2i_core.registry.plugins import discover

if TYPE_CHECKING:
    from i2i.translator import Translator

SAMPLE = re.compile(r"step-(\d+)-(.+)\.png")


def train(
    recipe: str | Path | Mapping[str, object] | None = None,
    *,
    set: Mapping[str, object] | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    plugins: Sequence[str | Path] = (),
) -> TrainedRun:
    """Train a recipe as `i2i train` does, and return the run.

    recipe: the name of a bundled recipe, the path of a file, or a recipe as a mapping; None with `resume`.
    set: changes to it, {"steps": 100, "data.batch_size": 4}. run_dir: the run's folder, by default the next free
    runs/NAME-001; resume: continue the run that is there. plugins: files of one-file plugins to load besides the
    installed ones.

    Progress and warnings go to stderr. Raises an `i2i_core.errors.I2IError` that says what is wrong or what stopped the
    run; Ctrl-C ends the step, saves, and raises `Interrupted`.
    """
    from i2i_core.training.launch import train as launch

    sets = [f"{name}={json_in_yaml(value, default=str)}" for name, value in (set or {}).items()]
    files = tuple(Path(file) for file in plugins)
    run = launch(
        recipe,
        discover(files=files),
        sets=sets,
        run_dir=Path(run_dir) if run_dir is not None else None,
        resume=resume,
        warn=lambda message: print(f"warning: {message}", file=sys.stderr),
    )
    assert run.folder is not None
    return TrainedRun(run.folder, files)


def load_run(folder: str | Path, *, plugins: Sequence[str | Path] = ()) -> TrainedRun:
    """Return the run in a folder, finished or not; raises UsageError for a folder that holds none."""
    if not (Path(folder) / "recipe.yaml").is_file():
        raise UsageError(f"{folder} holds no run: it has no recipe.yaml")
    return TrainedRun(Path(folder), tuple(Path(file) for file in plugins))


class TrainedRun:
    """A run's folder: its metrics, its pictures, its model. It is read anew each time, so training may go on."""

    def __init__(self, folder: Path, plugins: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        """The run's folder."""
        self._plugins = plugins

    @property
    def status(self) -> str:
        """running, finished, stopped or failed; "unknown" where nothing says it."""
        return str(self._status().get("status", "unknown"))

    @property
    def step(self) -> int:
        """The number of iterations that are done, as far as the folder says it."""
        logged = read_numbers(self.folder / "metrics.jsonl").steps
        return max([int(self._status().get("step", 0)), *logged[-1:]])

    def _status(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / "status.json").read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}

    def metrics(self) -> Mapping[str, Sequence[float | None]]:
        """Return the logged numbers as columns: "step", then "phase/loss"; None where one was not logged.

        `pandas.DataFrame(run.metrics())` makes a table of them.
        """
        numbers = read_numbers(self.folder / "metrics.jsonl")
        return {"step": numbers.steps, **numbers.columns}

    def samples(self, step: int | None = None) -> dict[str, Image.Image]:
        """Return the pictures that hooks drew after a step, by default the newest, by the name of the hook.

        Raises UsageError for a step after which none was drawn.
        """
        files: dict[int, dict[str, Path]] = {}
        for file in sorted((self.folder / "samples").glob("step-*.png")):
            if found := SAMPLE.fullmatch(file.name):
                files.setdefault(int(found[1]), {})[found[2]] = file
        if step is not None and step not in files:
            raise UsageError(
                f"{self.folder} has no pictures of step {step}; there are some of "
                f"{', '.join(map(str, files)) or 'no step'}"
            )
        newest = files[max(files) if step is None else step] if files else {}
        return {name: read_picture(file) for name, file in newest.items()}

    def model(self, *, device: str | None = None) -> Translator:
        """Return the model of the newest checkpoint, as `i2i.load` does; raises CheckpointError if there is none."""
        from i2i.loading import load

        return load(self.folder, device=device, plugins=discover(files=self._plugins))

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.folder)!r}: {self.status} at step {self.step:,})"
