"""A run that is to be resumed, as its folder tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i_core.disk.seals import unsealed
from i2i_core.errors import CheckpointError, Problem, RecipeError, UsageError
from i2i_core.plan.checked import Checked
from i2i_core.plan.resolved import Change, changes
from i2i_core.registry import environment
from i2i_core.registry.plugins import Plugins
from i2i_core.training import run_folder


@dataclass(frozen=True)
class Earlier:
    """The run until now."""

    folder: Path
    recipe: str
    """Its resolved recipe, or "" if that is damaged."""
    environment: Mapping[str, Any]
    finished: bool
    """True if it finished, and nothing of it has to be written again."""

    @classmethod
    def read(cls, folder: Path | None, replaced: bool, warn: Callable[[str], None]) -> Earlier:
        """Read the folder of a run.

        replaced: whether another recipe is given, so that a damaged one costs no more than a comparison. Raises
        UsageError if the folder holds no run, and CheckpointError if its recipe is damaged.
        """
        if folder is None:
            raise UsageError("to resume, name the folder of the run (run_dir)")
        saved, recipe = folder / run_folder.RECIPE, ""
        if not saved.is_file():
            raise UsageError(f"{folder} holds no run to resume: it has no {run_folder.RECIPE}")
        try:
            recipe = unsealed(saved, "bring it back, or name the recipe of the run with --recipe to write it anew")
        except CheckpointError as error:
            if not replaced:
                raise
            warn(f"{str(error).partition(';')[0]}; it is replaced, and not compared")
        finished = bool(recipe) and run_folder.is_finished(folder)
        return cls(folder, recipe, environment.read(folder), finished)

    def changes(self, checked: Checked) -> Sequence[Change]:
        """Return what differs in the recipe that resumes the run. Raises RecipeError if it cannot resume it."""
        found = changes(self.recipe, checked) if self.recipe else []
        if refused := [str(change) for change in found if not change.allowed]:
            what = f"the recipe differs from the run's, so it cannot be resumed: {'; '.join(refused)}"
            raise RecipeError([Problem(what, hint="start a new run, or undo the change")])
        return found

    def differences(self, found: Sequence[Change], plugins: Plugins) -> list[str]:
        """Return a sentence for each change that a user should know of: of the recipe, or of versions."""
        told = [f"resuming with {change}" for change in found if change.path[0] in ("optimizers", "seed")]
        if differ := environment.changed(self.environment, plugins):
            told.append(f"{self.folder} {differ}, so results may not be equal bit for bit")
        return told
