"""The subcommand `i2i styles`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, with_overwrite
from .using import finite, progress, read_sources, refuse_other_directions, with_fit, with_inputs, with_model

if TYPE_CHECKING:
    from i2i import Translator
    from i2i_core.data.sheet import Cell
    from i2i_core.recipe.sections import Fit


@subcommand
@with_model
@click.argument("picture")
@with_inputs
@click.option(
    "--domain",
    "domains",
    multiple=True,
    metavar="NAME",
    help="The domain of the styles. The default is all domains. Repeatable.",
)
@click.option(
    "--cells", type=click.IntRange(2, 25), default=7, show_default=True, help="The number of styles along each axis."
)
@click.option(
    "--reach",
    type=float,
    default=2.0,
    show_default=True,
    callback=finite,
    help="The extent of the map on each side of the mean style, in standard deviations.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="styles.png",
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
@with_fit
@with_overwrite
def styles(
    model: Translator,
    picture: str,
    given: tuple[str, ...],
    domains: tuple[str, ...],
    cells: int,
    reach: float,
    out: Path,
    fit_by: Fit | None,
    overwrite: bool,
) -> None:
    """Draw a map of the styles of each domain.

    The map shows translations of PICTURE into styles on a plane through the mean style of the domain. Its axes are the
    first two principal components of styles from latents. The caption gives the share of the variance that each axis
    explains, and the root mean square distance of styles from the mean style, relative to its length.

    \b
    i2i styles models/emoji photo.png
    """
    from i2i.style_map import style_map
    from i2i_core.data.pictures import check_suffix, refuse_existing, write_picture
    from i2i_core.data.sheet import sheet
    from i2i_core.errors import UsageError

    check_suffix(out)
    if not overwrite:
        refuse_existing([out])
    names = domains or model.targets
    if (use := model.use_of("latent", domain=names[0])) is None or not use.codes:
        raise UsageError("the model has no styles from latents, so it has no map of styles")
    refuse_other_directions(model, use, names)
    paths, source = read_sources(model, [picture], fit_by, use.name, given)
    if len(paths) > 1:
        raise UsageError(f"{picture} contains {len(paths)} pictures, but a map shows one; name a file")
    maps: list[Cell] = []
    with progress(len(names) * cells**2, "drawing") as advance:
        for name in names:
            found = style_map(model, name, cells, reach)
            rows: list[list[Cell]] = []
            for row in found.styles:
                rows.append([])
                for style in row:
                    rows[-1] += source.shown(style)
                    advance()
            across, down = found.explained
            caption = f"{name}: {across:.0%} of the variance across, {down:.0%} down; deviation {found.deviation:.2g}"
            maps.append(sheet([[sheet(rows, model.image_size[::-1], gap=0)], [caption]], (1, 200)))
    write_picture(out, sheet([maps], (1, 1), gap=12))
    click.echo(out)
