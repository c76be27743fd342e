"""Translations compared with their true counterparts."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.data.held_out import batch_of
from i2i_core.data.sets import directions
from i2i_core.disk.files import write_file
from i2i_core.interfaces import RunContext
from i2i_core.recipe.names import PhaseName


class TruePairs:
    """A measurement at the end of training: how often the true pair of a translation is its nearest held-out picture.

    The tensor `show` is computed under the aliases of `phase`, in batches of `batch_size`, and compared with all
    held-out pictures of the target domain by their L2 distance at `size` pixels. Without true pairs in the data, a
    warning is given. The results are written to eval/NAME.json, with the hook's name in the recipe. `translated` is the
    share of translations that are nearest to their true pair, `untranslated` that of the source pictures, `chance` one
    over the number of pictures. `error` is the mean absolute difference from the true pair, of values scaled to [0, 1],
    for the translation, for the source and for another picture of the target domain. Sources of another shape than
    translations are left out.
    source: the batch field of the picture to translate. With x_ref, `show` translates back: pictures of a target domain
    are translated into the source domain, and x_real is the reference.
    """

    def __init__(
        self,
        *,
        name: str,
        phase: PhaseName | None = None,
        show: str = "x_fake",
        source: Literal["x_real", "x_ref"] = "x_real",
        size: PositiveInt = 16,
        batch_size: PositiveInt = 32,
    ) -> None:
        self.name, self.phase, self.show, self.size, self.batch_size = name, phase, show, size, batch_size
        self.back = source == "x_ref"

    def run_start(self, run: RunContext) -> None:
        self.shown = run.tensor(self.show, self.phase)
        if not run.validation.paired:
            warnings.warn("the held-out pictures have no true pairs for the hook true_pairs to measure", stacklevel=2)

    def run_end(self, run: RunContext) -> None:
        if run.is_main and run.folder is not None and run.validation.paired:
            results = self.measure(run)
            write_file(run.folder / "eval" / f"{self.name}.json", json.dumps(results, indent=1))
            for name, r in results.items():
                share, error = r.get("untranslated"), r["error"].get("untranslated")
                print(
                    f"{name}: {r['translated']:.1%} of held-out translations are nearest to their true pair "
                    f"({'' if share is None else f'untranslated {share:.1%}, '}chance {r['chance']:.1%}); mean error "
                    f"{r['error']['translated']:.3f} ({'' if error is None else f'untranslated {error:.3f}, '}a random "
                    f"picture {r['error']['random']:.3f})",
                    file=sys.stderr,
                )

    def measure(self, run: RunContext) -> dict[str, dict[str, Any]]:
        """Return shares and errors in [0, 1] by "source -> target"."""
        data, results = run.validation, {}
        named = directions(run.recipe.data.targets, data.domains)
        needed = {*named, *(y for ys in named.values() for y in ys)}
        pictures = {y: data.batch(y, range(data.count(y)))["x"] for y in needed}
        ways = [(y_org, y) for y_org, ys in named.items() for y in sorted(ys) if y != y_org]
        for y_org, y_trg in [way[::-1] for way in ways] if self.back else ways:
            low, high = data.format(y_trg).limits
            sources, targets = pictures[y_org], pictures[y_trg]
            made = self._translate(run, y_org, y_trg, len(targets)).clamp(low, high)
            rivals = {"translated": made}
            if sources.shape == targets.shape:
                rivals["untranslated"] = sources
            rivals["random"] = targets.roll(len(targets) // 2, dims=0)
            errors = {name: float((x - targets).abs().mean()) / (high - low) for name, x in rivals.items()}
            results[f"{data.domains[y_org]} -> {data.domains[y_trg]}"] = {
                **{name: self._share(x, targets) for name, x in rivals.items() if name != "random"},
                "chance": 1 / len(made),
                "error": errors,
            }
        return results

    def _translate(self, run: RunContext, y_org: int, y_trg: int, count: int) -> Tensor:
        """Translate all held-out pictures of a domain, each with another one of the target domain as its reference."""
        made, everyone = [], range(count)
        for number, start in enumerate(everyone[:: self.batch_size]):
            indices = everyone[start : start + self.batch_size]
            sources = [(y_org, index) for index in indices]
            # Neighbours are often alike, and so is the true pair.
            references = [(y_trg, (index - count // 2) % count) for index in indices]
            roles = (references, sources) if self.back else (sources, references)
            batch = batch_of(run.validation, self.shown.fields, *roles)
            made.append(self.shown(batch, draw=number))
        return torch.cat(made)

    def _share(self, made: Tensor, targets: Tensor) -> float:
        a, b = (F.interpolate(t.float(), size=(self.size, self.size), mode="area").flatten(1) for t in (made, targets))
        nearest = torch.cdist(a, b).argmin(dim=1)
        return float((nearest == torch.arange(len(a))).float().mean())
