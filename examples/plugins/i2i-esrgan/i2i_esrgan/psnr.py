"""The peak signal-to-noise ratio of enlarged pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.disk.files import write_file
from i2i_core.errors import Problem, RecipeError
from i2i_core.interfaces import RunContext

LEAST = 1e-10
"""Mean squared errors below this share of the squared range count as this: 100 dB."""
PAIRED = "use esrgan/reduced, or image_folders with paired: true"


class PSNR:
    """A measurement at the end of training: the peak signal-to-noise ratio of enlarged held-out pictures, in dB.

    `enlarged` is the mean PSNR of the tensor x_fake over all held-out pictures, in all channels, computed in batches of
    `batch_size`; `bicubic` and `nearest` are those of the enlarged small pictures. The results are written to
    eval/NAME.json, with the hook's name in the recipe.

    Raises RecipeError if the data set has no true pairs.
    """

    def __init__(self, *, name: str, batch_size: PositiveInt = 32) -> None:
        self.name, self.batch_size = name, batch_size

    def run_start(self, run: RunContext) -> None:
        if not run.validation.paired:
            raise RecipeError([Problem("esrgan/psnr needs true pairs", run.recipe.mark("hooks", self.name), PAIRED)])
        self.shown = run.tensor("x_fake")

    def run_end(self, run: RunContext) -> None:
        if run.is_main and run.folder is not None:
            results = self.measure(run)
            write_file(run.folder / "eval" / f"{self.name}.json", json.dumps(results, indent=1))
            said = ", ".join(f"{name} {value:.2f} dB" for name, value in results.items())
            print(f"{self.name}: PSNR of held-out pictures: {said}", file=sys.stderr)

    def measure(self, run: RunContext) -> dict[str, float]:
        """Return the mean PSNR by the way of enlarging."""
        found: dict[str, list[Tensor]] = {}
        for made, true, limits in self._batches(run):
            for name, x in made.items():
                found.setdefault(name, []).append(psnr(x.clamp(*limits), true, limits[1] - limits[0]))
        return {name: float(torch.cat(values).mean()) for name, values in found.items()}

    def _batches(self, run: RunContext) -> Iterator[tuple[dict[str, Tensor], Tensor, tuple[float, float]]]:
        """Yield enlarged pictures by the way of enlarging, the true large ones, and the limits of their values."""
        data, targets = run.validation, run.recipe.data.targets
        assert isinstance(targets, dict)  # the check of the plugin sees to it
        source, target = next((data.domains.index(x), data.domains.index(ys[0])) for x, ys in targets.items())
        for start in range(0, data.count(source), self.batch_size):
            indices = range(start, min(start + self.batch_size, data.count(source)))
            x, true = data.batch(source, indices)["x"], data.batch(target, indices)["x"]
            y_org, y_trg = (torch.full((len(indices),), y) for y in (source, target))
            made = {"enlarged": self.shown({"x_real": x, "y_org": y_org, "y_trg": y_trg})}
            made["bicubic"] = F.interpolate(x, true.shape[2:], mode="bicubic", antialias=True)
            made["nearest"] = F.interpolate(x, true.shape[2:], mode="nearest")
            yield made, true, data.format(target).limits


def psnr(x: Tensor, y: Tensor, span: float) -> Tensor:
    """Return 10 log10(span² / mean squared error) of each of N pictures, (N,), in dB."""
    errors = (x - y).square().flatten(1).mean(1) / span**2
    return -10 * errors.clamp(min=LEAST).log10()
