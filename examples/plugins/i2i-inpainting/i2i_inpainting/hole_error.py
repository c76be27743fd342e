"""The error of the completion of held-out pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from pydantic import PositiveInt
from torch import Tensor

from i2i_core.interfaces import RunContext


class HoleError:
    """A measurement at the end of training: the mean absolute error in the holes of held-out pictures.

    The tensor `show` is computed of all held-out pictures, in batches of `batch_size`. `filled` is its error, on a
    scale from 0 to 1. `mean colour` is the error of a hole with the mean colour of what is visible of the picture,
    `grey` that of a grey hole. Each picture has the same weight. The results are written to eval/NAME.json, with the
    hook's name in the recipe.
    """

    def __init__(self, *, name: str, show: str = "x_fake", batch_size: PositiveInt = 32) -> None:
        self.name, self.show, self.batch_size = name, show, batch_size

    def run_start(self, run: RunContext) -> None:
        self.shown = run.tensor(self.show)

    def run_end(self, run: RunContext) -> None:
        if not run.is_main or run.folder is None:
            return
        errors = self.measure(run)
        file = run.folder / "eval" / f"{self.name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(errors, indent=1), encoding="utf-8")
        said = ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
        print(f"{self.name}: mean error in the hole: {said}", file=sys.stderr)

    def measure(self, run: RunContext) -> dict[str, float]:
        """Return the mean errors in [0, 1], by what fills the hole."""
        sums, count = dict.fromkeys(("filled", "mean colour", "grey"), 0.0), 0
        for domain in range(len(run.validation.domains)):
            everyone = range(run.validation.count(domain))
            for start in everyone[:: self.batch_size]:
                batch = run.validation.batch(domain, everyone[start : start + self.batch_size], ("x", "hole"))
                x, hole = batch["x"], batch["hole"]
                made = self.shown({"x_real": x, "hole_real": hole})
                for name, filled in {"filled": made, **baselines(x, hole)}.items():
                    sums[name] += float(absolute_error(filled, x, hole).sum())
                count += len(x)
        return {name: total / count for name, total in sums.items()}


def baselines(x: Tensor, hole: Tensor) -> Mapping[str, Tensor]:
    """Return simple completions of pictures (N, C, H, W), each one colour for a hole (N, 1, H, W): (N, C, 1, 1)."""
    visible = 1 - hole
    mean = (x * visible).sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True).clamp(min=1)
    return {"mean colour": mean, "grey": x.new_zeros(1)}


def absolute_error(filled: Tensor, x: Tensor, hole: Tensor) -> Tensor:
    """Return the mean absolute error in each hole, (N,), on a scale from 0 to 1 for pictures in [-1, 1]."""
    errors = ((filled.clamp(-1, 1) - x).abs() * hole).sum((1, 2, 3))
    return errors / hole.sum((1, 2, 3)).clamp(min=1) / x.shape[1] / 2
