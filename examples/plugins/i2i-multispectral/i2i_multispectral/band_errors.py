"""Errors of translated rasters, band by band."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from pydantic import PositiveInt

from i2i_core.disk.files import write_file
from i2i_core.errors import Problem, RecipeError
from i2i_core.interfaces import RunContext

Array = np.ndarray[Any, Any]
PAIRED = "name a data set whose domains show the same places, such as image_folders with paired: true"


class BandErrors:
    """A measurement at the end of training: the mean absolute error of each band, in the units of the target's files.

    Held-out sources are translated in batches of `batch_size`, and their values compared as files hold them, at the
    depth of the target's format. The results are written to eval/NAME.json, with the hook's name in the recipe, in the
    order of the bands: `translated`, and for comparison `constant`, the error of the median of the band.

    Raises RecipeError if the data set has no true pairs.
    """

    def __init__(self, *, name: str, batch_size: PositiveInt = 25) -> None:
        self.name, self.batch_size = name, batch_size

    def run_start(self, run: RunContext) -> None:
        if not run.validation.paired:
            raise RecipeError([Problem("band_errors needs true pairs", run.recipe.mark("hooks", self.name), PAIRED)])
        self.shown = run.tensor("x_fake")

    def run_end(self, run: RunContext) -> None:
        if run.is_main and run.folder is not None:
            results = self.measure(run)
            write_file(run.folder / "eval" / f"{self.name}.json", json.dumps(results, indent=1))
            named = [f"{name} {', '.join(f'{error:.1f}' for error in errors)}" for name, errors in results.items()]
            print(f"{self.name}: mean error of each band: {'; '.join(named)}", file=sys.stderr)

    def measure(self, run: RunContext) -> dict[str, list[float]]:
        """Return the errors of the bands of all held-out records of the first direction."""
        data, targets = run.validation, run.recipe.data.targets
        assert isinstance(targets, dict)  # the check of the plugin sees to it
        source, target = next((data.domains.index(x), data.domains.index(ys[0])) for x, ys in targets.items())
        form, made, true = data.format(target), list[Array](), list[Array]()
        for start in range(0, data.count(source), self.batch_size):
            indices = range(start, min(start + self.batch_size, data.count(source)))
            y_org, y_trg = (torch.full((len(indices),), y) for y in (source, target))
            batch = {"x_real": data.batch(source, indices)["x"], "y_org": y_org, "y_trg": y_trg}
            for found, encoded in ((made, self.shown(batch)), (true, data.batch(target, indices)["x"])):
                found += [np.asarray(form.decode(x)).astype(np.float64) for x in encoded]
        truth, pixels = np.stack(true), (0, 1, 2)
        constant = np.abs(truth - np.median(truth, axis=pixels)).mean(pixels)
        return {"translated": np.abs(np.stack(made) - truth).mean(pixels).tolist(), "constant": constant.tolist()}
