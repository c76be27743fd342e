"""Grids of translations of held-out pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Literal

from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.data.held_out import batch_of, read_references
from i2i_core.data.sets import directions
from i2i_core.data.sheet import Cell, in_lines, sheet
from i2i_core.disk.files import write_file
from i2i_core.interfaces import Format, RunContext
from i2i_core.recipe.names import PhaseName


class SampleGrid:
    """A grid of held-out pictures after step 1 and every n steps: sources along the top, below them a row per style.

    All translations of a row have one target domain, one latent and one reference. The names of the domains are written
    beside the pictures. If the tensor depends on references, or on fields of theirs, they are drawn at the left of
    their rows.
    show: the tensor to draw, under the aliases of `phase` if one is named. source: the batch field of the pictures
    along the top. With x_ref, `show` translates back: pictures of a target domain are translated into the source
    domain, and x_real is the reference. every: steps between two grids. sources, rows: number of columns and rows. The
    file is samples/step-00000500-NAME.png, with the hook's name in the recipe.
    """

    def __init__(
        self,
        *,
        name: str,
        phase: PhaseName | None = None,
        show: str = "x_fake",
        source: Literal["x_real", "x_ref"] = "x_real",
        every: PositiveInt = 500,
        sources: PositiveInt = 8,
        rows: PositiveInt = 6,
    ) -> None:
        self.name, self.phase, self.show = name, phase, show
        self.source, self.reference = (source, "x_ref" if source == "x_real" else "x_real")
        self.every, self.sources, self.rows = every, sources, rows

    def run_start(self, run: RunContext) -> None:
        self.shown = run.tensor(self.show, self.phase)
        ways = directions(run.recipe.data.targets, run.validation.domains)
        ends = list(ways), sorted({y for ys in ways.values() for y in ys})
        self.origins, self.targets = ends[::-1] if self.source == "x_ref" else ends

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
        cells = self.cells(run)
        width, height = (max(side) for side in zip(*(cell.size for row in cells for cell in row if cell), strict=True))
        names = [in_lines(name, width) for name in run.validation.domains]
        above = [names[_cycled(self.origins, i)] for i in range(self.sources)]
        left = [None, *(names[_cycled(self.targets, row)] for row in range(self.rows))]
        rows: list[list[Cell]] = [[*[None] * (len(cells[0]) + 1 - self.sources), *above]]
        rows += [[name, *row] for name, row in zip(left, cells, strict=True)]
        return sheet(rows, (width, height), gap=2)

    def cells(self, run: RunContext) -> list[list[Image.Image | None]]:
        """Compute the pictures, in rows.

        The first row contains the sources. Every other row contains the reference of a style, if any, and translations.
        """
        has_references = read_references(self.shown.fields, self.source)
        rows: list[list[Image.Image | None]] = []
        for domain, reference, pictures in self.tensors(run):
            form = run.validation.format(domain)
            first = [None if reference is None else _shown(form, reference)] if has_references else []
            rows.append([*first, *(_shown(form, x) for x in pictures)])
        return rows

    def tensors(self, run: RunContext) -> Iterator[tuple[int, Tensor | None, Tensor]]:
        """Compute the rows: the domain of each, its reference, if any, and its pictures (N, ...), encoded."""
        data, count = run.validation, len(self.origins)
        sources = [self._place(run, _cycled(self.origins, i), i // count) for i in range(self.sources)]
        fields = {*self.shown.fields, "x_real", "x_ref"}
        for row in range(self.rows):
            y = _cycled(self.targets, row)
            reference = self._place(run, y, row // len(self.targets), offset=0.5)
            ends = sources, [reference] * self.sources
            batch = batch_of(data, fields, *(ends[::-1] if self.source == "x_ref" else ends))
            if row == 0:
                yield self.origins[0], None, batch[self.source]
            yield y, batch[self.reference][0], self.shown(batch, draw=row, shared=True)

    @staticmethod
    def _place(run: RunContext, domain: int, number: int, offset: float = 0.0) -> tuple[int, int]:
        """Choose a held-out record. Neighbours are often alike: the golden ratio spreads them."""
        return domain, int((0.61803398875 * (number + 1) + offset) % 1.0 * run.validation.count(domain))


def _cycled(domains: Sequence[int], number: int) -> int:
    return domains[number % len(domains)]


def _shown(form: Format, x: Tensor) -> Image.Image:
    return form.show(form.decode(x))
