"""The subcommand `i2i grid`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, with_overwrite
from .using import Chosen, progress, read_sources, reference_of, with_fit, with_inputs, with_model, with_styles

if TYPE_CHECKING:
    from i2i import Translator
    from i2i_core.data.sheet import Cell
    from i2i_core.recipe.sections import Fit


@subcommand
@with_model
@click.argument("pictures", nargs=-1, required=True)
@with_styles
@with_inputs
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="grid.png",
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
@with_fit
@with_overwrite
def grid(
    model: Translator,
    choose: Callable[[Translator], list[Chosen]],
    pictures: tuple[str, ...],
    given: tuple[str, ...],
    out: Path,
    fit_by: Fit | None,
    overwrite: bool,
) -> None:
    """Draw translations of PICTURES as a grid.

    Each column is one of the PICTURES, with the source at the top. Each row is a style, with its name or its reference
    at the left.

    \b
    i2i grid models/emoji photos/*.png --styles 3
    i2i grid models/emoji photos/*.png --domain flat --reference others/
    """
    from i2i_core.data.pictures import check_suffix, refuse_existing, write_picture
    from i2i_core.data.sheet import sheet, shortened

    check_suffix(out)
    if not overwrite:
        refuse_existing([out])
    height, width = model.image_size
    styles = choose(model)
    paths, sources = read_sources(model, pictures, fit_by, styles[0].style.use, given)
    rows: list[list[Cell]] = [
        [None, None, *(shortened(path.stem, width) for path in paths)],
        [None, None, *sources.pictures()],
    ]
    with progress(len(styles), "drawing") as advance:
        for chosen in styles:
            domain = model.domains[chosen.style.domain]
            reference = reference_of(model, chosen)
            rows.append(
                [f"{domain}\n{shortened(chosen.label, width)}".strip(), reference, *sources.shown(chosen.style)]
            )
            advance()
    write_picture(out, sheet(rows, (width, height)))
    click.echo(out)
