"""Grids of translations of held-out pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.data.batches import directions, to_device, to_picture, to_tensor
from i2i_core.data.sheet import Cell, in_lines, sheet
from i2i_core.disk.files import write_file
from i2i_core.interfaces import RunContext
from i2i_core.recipe.names import PhaseName


class SampleGrid:
    """A grid of held-out pictures after step 1 and every n steps: sources along the top, below them a row per style.

    All translations of a row have one target domain, one latent and one reference. The names of the domains are written
    beside the pictures. If the tensor depends on references, they are drawn at the left of their rows.
    show: the tensor to draw, under the aliases of `phase` if one is named. every: steps between two grids. sources,
    rows: number of columns and rows. The file is samples/step-00000500-NAME.png, with the hook's name in the recipe.
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
        ways = directions(run.recipe.data.targets, run.validation.domains)
        self.origins, self.targets = list(ways), sorted({y for ys in ways.values() for y in ys})

    def after_step(self, run: RunContext) -> None:
        if run.step % self.every == 0 or run.step in (1, run.recipe.steps):
            self.draw(run)

    def draw(self, run: RunContext) -> None:
        """Write the grid, in the main process."""
        if run.is_main and run.folder is not None:
            file = io.BytesIO()
            self.sheet(run).save(file, "png")
            write_file(run.folder / "samples" / f"step-{run.step:08d}-{self.name}.png", file.getvalue())

    def sheet(self, run: RunContext) -> Image.Image:
        """Compute the pictures and draw them with the names of their domains."""
        cells, (height, width) = self.cells(run), run.recipe.data.image_size
        names = [in_lines(name, width) for name in run.validation.domains]
        above = [names[_cycled(self.origins, i)] for i in range(self.sources)]
        left = [None, *(names[_cycled(self.targets, row)] for row in range(self.rows))]
        rows: list[list[Cell]] = [[*[None] * (cells.shape[1] + 1 - self.sources), *above]]
        rows += [[name, *map(to_picture, row)] for name, row in zip(left, cells, strict=True)]
        return sheet(rows, (width, height), gap=2)

    def cells(self, run: RunContext) -> Tensor:
        """Compute the pictures in [-1, 1], (rows, columns, 3, H, W).

        The first row contains the sources. Every other row contains the reference of a style, if any, and translations.
        """
        y_org = torch.tensor([_cycled(self.origins, i) for i in range(self.sources)])
        x_real = torch.stack([_held_out(run, int(y), i // len(self.origins)) for i, y in enumerate(y_org)])
        rows, lefts = [_in_floats(x_real)], [torch.ones(1, *x_real.shape[1:])]
        for row in range(self.rows):
            y = _cycled(self.targets, row)
            x_ref = _held_out(run, y, row // len(self.targets), offset=0.5)[None]
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


def _cycled(domains: Sequence[int], number: int) -> int:
    return domains[number % len(domains)]


def _in_floats(pictures: Tensor) -> Tensor:
    return to_device({"x": pictures}, torch.device("cpu"), torch.float32)["x"]


def _held_out(run: RunContext, domain: int, number: int, offset: float = 0.0) -> Tensor:
    """Return a held-out picture, uint8 (3, H, W). Neighbours are often alike: the golden ratio spreads them."""
    index = int((0.61803398875 * (number + 1) + offset) % 1.0 * run.validation.count(domain))
    return to_tensor(run.validation.picture(domain, index), run.recipe.data.image_size)
