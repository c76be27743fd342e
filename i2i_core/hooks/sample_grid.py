"""Pictures where people look: grids of translations of held-out pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from i2i_core import state
from i2i_core.data.batches import as_float, to_array
from i2i_core.draws import Draws
from i2i_core.interfaces import Dataset
from i2i_core.names import PhaseName

if TYPE_CHECKING:
    from i2i_core.run import Run

GAP = 2


class SampleGrid:
    """Draws a grid every n steps: held-out sources along the top, below them a row per target style.

    A row has one target domain, one latent and one reference for all its sources. `show` is the tensor drawn,
    under the aliases of `phase`; where it depends on references, they stand at the left of their rows.
    """

    def __init__(self, *, phase: PhaseName, show: str = "x_fake", every: PositiveInt = 500, sources: PositiveInt = 8,
                 rows: PositiveInt = 6) -> None:
        self.phase, self.show, self.every, self.sources, self.rows = phase, show, every, sources, rows

    def run_start(self, run: Run) -> None:
        if run.is_main and run.step == 0 and run.folder is not None:
            self.draw(run)

    def after_step(self, run: Run) -> None:
        if run.is_main and run.folder is not None and (run.step % self.every == 0 or run.step == run.recipe.steps):
            self.draw(run)

    def draw(self, run: Run) -> None:
        """Write samples/step-00000500-PHASE.png."""
        assert run.folder is not None
        png = io.BytesIO()
        Image.fromarray(grid(self.cells(run))).save(png, "PNG")
        state.write_file(run.folder / "samples" / f"step-{run.step:08d}-{self.phase}.png", png.getvalue())

    def cells(self, run: Run) -> list[list[Tensor | None]]:
        """Rows of pictures (3, H, W) in [-1, 1]: the sources, then per style its reference and its translations."""
        data, domains = run.validation, len(run.validation.domains)
        picks = [(i % domains, _spread(data, i % domains, i // domains)) for i in range(self.sources)]
        x_real = torch.stack([_load(run, y, index) for y, index in picks])
        y_org = torch.tensor([y for y, _ in picks], device=run.device)
        used = run.needs(self.show, self.phase)
        first: list[Tensor | None] = [None] if "x_ref" in used else []
        rows: list[list[Tensor | None]] = [[*first, *x_real]]
        for row in range(self.rows):
            y = row % domains
            reference = _load(run, y, _spread(data, y, row // domains, offset=0.5))
            same = torch.full_like(y_org, y)
            batch = {"x_real": x_real, "y_org": y_org, "y_trg": same, "x_ref": reference.expand_as(x_real),
                     "x_ref2": reference.expand_as(x_real)}
            draws = Draws(run.recipe.seed, row, 0, self.sources, self.sources, run.device, run.dtype, shared=True)
            made = run.tensors([self.show], batch, phase=self.phase, draws=draws)[self.show]
            rows.append([*([reference] if first else []), *made])
        return rows


def _spread(dataset: Dataset, domain: int, number: int, offset: float = 0.0) -> int:
    """Pictures far apart in the data set, since neighbours are often alike; the golden ratio never repeats."""
    return int((0.61803398875 * (number + 1) + offset) % 1.0 * dataset.count(domain))


def _load(run: Run, domain: int, index: int) -> Tensor:
    array = to_array(run.validation.picture(domain, index), run.recipe.data.image_size)
    return as_float(torch.from_numpy(array).to(run.device), run.dtype)


def grid(rows: list[list[Tensor | None]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Pictures (3, H, W) in [-1, 1] as one uint8 (H, W, 3) array on white; None leaves a cell empty."""
    some = next(cell for row in rows for cell in row if cell is not None)
    height, width = some.shape[-2] + GAP, some.shape[-1] + GAP
    sheet = np.full((len(rows) * height + GAP, max(map(len, rows)) * width + GAP, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            if cell is not None:
                top, left = GAP + r * height, GAP + c * width
                pixels = cell.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
                sheet[top : top + height - GAP, left : left + width - GAP] = pixels.transpose(1, 2, 0)
    return sheet
