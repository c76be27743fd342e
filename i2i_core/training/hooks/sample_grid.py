"""Pictures where people look: grids of translations of held-out pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.data.batches import to_device, to_picture, to_tensor
from i2i_core.disk.files import write_file
from i2i_core.plan.draws import Draws
from i2i_core.recipe.names import PhaseName

if TYPE_CHECKING:
    from i2i_core.training.run import Run


class SampleGrid:
    """Draws a grid after step 1 and every n steps: held-out sources along the top, below them a row per target style.

    A row has one target domain, one latent and one reference for all its sources. `show` is the tensor drawn,
    under the aliases of `phase` if one is named; where it depends on references, they stand at the left of their rows.
    """

    def __init__(self, *, phase: PhaseName | None = None, show: str = "x_fake", every: PositiveInt = 500,
                 sources: PositiveInt = 8, rows: PositiveInt = 6) -> None:
        self.phase, self.show, self.every, self.sources, self.rows = phase, show, every, sources, rows

    def run_start(self, run: Run) -> None:
        run.needs(self.show, self.phase)  # a name that nothing makes is told before training

    def after_step(self, run: Run) -> None:
        if run.step % self.every == 0 or run.step in (1, run.recipe.steps):
            self.draw(run)

    def draw(self, run: Run) -> None:
        """Write samples/step-00000500-PHASE.png (or -SHOW.png, without a phase), in the main process."""
        if run.is_main and run.folder is not None:
            file = run.folder / "samples" / f"step-{run.step:08d}-{self.phase or self.show}.png"
            write_file(file, png(self.cells(run)))

    def cells(self, run: Run) -> Tensor:
        """Pictures in [-1, 1], (rows, columns, 3, H, W): the sources, then per style its reference and translations."""
        origins, targets = list(run.directions), sorted({y for ys in run.directions.values() for y in ys})
        y_org = torch.tensor([origins[i % len(origins)] for i in range(self.sources)])
        x_real = torch.stack([_held_out(run, int(y), i // len(origins)) for i, y in enumerate(y_org)])
        rows, lefts = [_in_floats(x_real)], [torch.ones(1, *x_real.shape[1:])]
        for row in range(self.rows):
            y = targets[row % len(targets)]
            x_ref = _held_out(run, y, row // len(targets), offset=0.5)[None]
            made = [self._translated(run, row, some, y_some, torch.full_like(y_some, y), x_ref.expand_as(some))
                    for some, y_some in zip(torch.split(x_real, run.part), torch.split(y_org, run.part), strict=True)]
            rows.append(torch.cat(made))
            lefts.append(_in_floats(x_ref))
        if "x_ref" in run.needs(self.show, self.phase):
            rows = [torch.cat(row) for row in zip(lefts, rows, strict=True)]
        return torch.stack(rows)

    def _translated(self, run: Run, row: int, x_real: Tensor, y_org: Tensor, y_trg: Tensor, x_ref: Tensor) -> Tensor:
        """Some cells of a row, which all have its style."""
        batch = to_device({"x_real": x_real, "y_org": y_org, "y_trg": y_trg, "x_ref": x_ref, "x_ref2": x_ref},
                          run.device, run.dtype)
        draws = Draws(run.recipe.seed, row, 0, len(x_real), self.sources, run.device, run.dtype, shared=True)
        x_fake: Tensor = run.tensors([self.show], batch, phase=self.phase, draws=draws)[self.show]
        return x_fake.float().cpu()


def _in_floats(pictures: Tensor) -> Tensor:
    return to_device({"x": pictures}, torch.device("cpu"), torch.float32)["x"]


def _held_out(run: Run, domain: int, number: int, offset: float = 0.0) -> Tensor:
    """Pictures far apart in the data set, since neighbours are often alike; the golden ratio never repeats."""
    index = int((0.61803398875 * (number + 1) + offset) % 1.0 * run.validation.count(domain))
    return to_tensor(run.validation.picture(domain, index), run.recipe.data.image_size)


def png(cells: Tensor, gap: int = 2) -> bytes:
    """Pictures in [-1, 1], (rows, columns, 3, H, W), as one on white, `gap` pixels apart."""
    rows, columns, _, height, width = cells.shape
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), "white")
    for row, column in np.ndindex(rows, columns):
        place = (column * (width + gap) + gap, row * (height + gap) + gap)
        sheet.paste(to_picture(cells[row, column]), place)
    file = io.BytesIO()
    sheet.save(file, "png")
    return file.getvalue()
