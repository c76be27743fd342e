"""Translations compared with their true counterparts."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.data.batches import directions, to_tensor
from i2i_core.disk.files import write_file
from i2i_core.interfaces import RunContext
from i2i_core.recipe.names import PhaseName


class TruePairs:
    """A measurement at the end of training: how often the true pair of a translation is its nearest held-out picture.

    The tensor `show` is computed under the aliases of `phase`, in batches of `batch_size`, and compared with all
    held-out pictures of the target domain by their L2 distance at `size` pixels. Without true pairs in the data, a
    warning is given. The results are written to eval/NAME.json, with the hook's name in the recipe. `translated` is the
    share of translations that are nearest to their true pair, `untranslated` that of the source pictures, `chance` one
    over the number of pictures. `error` is the mean absolute difference from the true pair, of values in [0, 1], for
    the translation, for the source and for another picture of the target domain.
    """

    def __init__(
        self,
        *,
        name: str,
        phase: PhaseName | None = None,
        show: str = "x_fake",
        size: PositiveInt = 16,
        batch_size: PositiveInt = 32,
    ) -> None:
        self.name, self.phase, self.show, self.size, self.batch_size = name, phase, show, size, batch_size

    def run_start(self, run: RunContext) -> None:
        self.shown = run.tensor(self.show, self.phase)
        if not run.validation.paired:
            warnings.warn("the held-out pictures have no true pairs for the hook true_pairs to measure", stacklevel=2)

    def run_end(self, run: RunContext) -> None:
        if run.is_main and run.folder is not None and run.validation.paired:
            results = self.measure(run)
            write_file(run.folder / "eval" / f"{self.name}.json", json.dumps(results, indent=1))
            for name, r in results.items():
                print(
                    f"{name}: {r['translated']:.1%} of held-out translations are nearest to their true pair "
                    f"(untranslated {r['untranslated']:.1%}, chance {r['chance']:.1%}); mean error "
                    f"{r['error']['translated']:.3f} (untranslated {r['error']['untranslated']:.3f}, a random picture "
                    f"{r['error']['random']:.3f})",
                    file=sys.stderr,
                )

    def measure(self, run: RunContext) -> dict[str, dict[str, Any]]:
        """Return shares and errors in [0, 1] by "source -> target"."""
        data, size = run.validation, run.recipe.data.image_size
        pictures = [
            torch.stack([to_tensor(data.picture(y, i), size) for i in range(data.count(y))])
            for y in range(len(data.domains))
        ]
        results = {}
        named = directions(run.recipe.data.targets, data.domains)
        for y_org, y_trg in ((y_org, y) for y_org, ys in named.items() for y in sorted(ys) if y != y_org):
            sources, targets = pictures[y_org], pictures[y_trg]
            references = targets.roll(len(targets) // 2, dims=0)  # neighbours are often alike, and so is the true pair
            made = self._translate(y_org, y_trg, sources, references)
            results[f"{data.domains[y_org]} -> {data.domains[y_trg]}"] = {
                "translated": self._share(made, targets),
                "untranslated": self._share(sources, targets),
                "chance": 1 / len(made),
                "error": {
                    name: float((pictures - targets.float()).abs().mean()) / 255
                    for name, pictures in (
                        ("translated", made),
                        ("untranslated", sources.float()),
                        ("random", references.float()),
                    )
                },
            }
        return results

    def _translate(self, y_org: int, y_trg: int, sources: Tensor, references: Tensor) -> Tensor:
        made = []
        parts = zip(torch.split(sources, self.batch_size), torch.split(references, self.batch_size), strict=True)
        for number, (x_real, x_ref) in enumerate(parts):
            y = torch.full((len(x_real),), y_trg)
            batch = {"x_real": x_real, "y_org": torch.full_like(y, y_org), "y_trg": y, "x_ref": x_ref, "x_ref2": x_ref}
            made.append(self.shown(batch, draw=number).add(1).mul(127.5).clamp(0, 255))
        return torch.cat(made)

    def _share(self, made: Tensor, targets: Tensor) -> float:
        a, b = (F.interpolate(t.float(), size=(self.size, self.size), mode="area").flatten(1) for t in (made, targets))
        nearest = torch.cdist(a, b).argmin(dim=1)
        return float((nearest == torch.arange(len(a))).float().mean())
