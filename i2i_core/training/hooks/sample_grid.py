"""Grids of translations of held-out pictures."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.data.batches import directions, to_device, to_picture, to_tensor
from i2i_core.disk.files import write_file
from i2i_core.interfaces import RunContext
from i2i_core.recipe.names import PhaseName


class SampleGrid:
    """Draws a grid after step 1 and every n steps: held-out sources along the top, below them a row per target style.

    A row has one target domain, one latent and one reference for all its sources. `show` is the tensor drawn,
    under the aliases of `phase` if one is named; where it depends on references, they stand at the left of their rows.
    every: steps between two grids; sources, rows: their numbers. The file is samples/step-00000500-NAME.png, with the
    name of the hook in the recipe.
    """

    def __init__(
        self,
        *,
        name: str,
        phase: PhaseName | None = None,
        show: str = "x_fake",
        every: PositiveInt = 500,
        sources: PositiveInt = 8,
        rows: PositiveInt = 6,
    ) -> None:
        self.name, self.phase, self.show = name, phase, show
        self.every, self.sources, self.rows = every, sources, rows

    def run_start(self, run: RunContext) -> None:
        self.shown = run.tensor(self.show, self.phase)
        self.directions = directions(run.recipe.data.targets, run.validation.domains)

    def after_step(self, run: RunContext) -> None:
        if run.step % self.every == 0 or run.step in (1, run.recipe.steps):
            self.draw(run)

    def draw(self, run: RunContext) -> None:
        """Write the grid, in the main process."""
        if run.is_main and run.folder is not None:
            write_file(run.folder / "samples" / f"step-{run.step:08d}-{self.name}.png", png(self.cells(run)))

    def cells(self, run: RunContext) -> Tensor:
        """Compute pictures in [-1, 1], (rows, columns, 3, H, W).

        The first row has the sources; each other one has a style's reference, if there is one, and its translations.
        """
        origins, targets = list(self.directions), sorted({y for ys in self.directions.values() for y in ys})
        y_org = torch.tensor([origins[i % len(origins)] for i in range(self.sources)])
        x_real = torch.stack([_held_out(run, int(y), i // len(origins)) for i, y in enumerate(y_org)])
        rows, lefts = [_in_floats(x_real)], [torch.ones(1, *x_real.shape[1:])]
        for row in range(self.rows):
            y = targets[row % len(targets)]
            x_ref = _held_out(run, y, row // len(targets), offset=0.5)[None]
            references = x_ref.expand_as(x_real)
            batch = {
                "x_real": x_real,
                "y_org": y_org,
                "y_trg": torch.full_like(y_org, y),
                "x_ref": references,
                "x_ref2": references,
            }
            rows.append(self.shown(batch, draw=row, shared=True))
            lefts.append(_in_floats(x_ref))
        if "x_ref" in self.shown.fields:
            rows = [torch.cat(row) for row in zip(lefts, rows, strict=True)]
        return torch.stack(rows)


def _in_floats(pictures: Tensor) -> Tensor:
    return to_device({"x": pictures}, torch.device("cpu"), torch.float32)["x"]


def _held_out(run: RunContext, domain: int, number: int, offset: float = 0.0) -> Tensor:
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
