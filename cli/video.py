"""The subcommand `i2i video`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, with_overwrite
from .using import Chosen, finite, progress, read_sources, reference_of, with_fit, with_inputs, with_model, with_styles

if TYPE_CHECKING:
    from PIL import Image

    from i2i import Sources, Translator
    from i2i_core.recipe.sections import Fit


@subcommand
@with_model
@click.argument("pictures", nargs=-1, required=True)
@with_styles
@with_inputs
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="video.webp",
    show_default=True,
    metavar="FILE",
    help='The file to write: .webp, or .mp4 after pip install "i2i-gan[video]".',
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    callback=finite,
    help="The time from one style to the next.",
)
@click.option(
    "--fps", type=click.IntRange(1, 60), default=24, show_default=True, help="The number of frames per second."
)
@with_fit
@with_overwrite
def video(
    model: Translator,
    choose: Callable[[Translator], list[Chosen]],
    pictures: tuple[str, ...],
    given: tuple[str, ...],
    out: Path,
    seconds: float,
    fps: int,
    fit_by: Fit | None,
    overwrite: bool,
) -> None:
    """Make a video of PICTURES in changing styles.

    The translations of all PICTURES change smoothly from style to style, and from the last style back to the first.
    The options --styles and --reference choose the styles of each domain. References appear at the left.

    \b
    i2i video models/emoji photo.png --styles 4
    i2i video models/emoji photos/ --domain flat --reference others/ --out flat.mp4
    """
    from i2i import video as film
    from i2i_core.data.pictures import refuse_existing
    from i2i_core.errors import UsageError

    film.check(out)
    if not overwrite:
        refuse_existing([out])
    styles = choose(model)
    if not styles[0].style.codes:
        raise UsageError("the model has no style codes, so a video cannot blend its styles; draw a grid with i2i grid")
    if len(styles) < 2:
        raise UsageError("a video needs two or more styles; choose them with --styles, --domain or --reference")
    steps = max(1, round(seconds * fps))
    _, sources = read_sources(model, pictures, fit_by, styles[0].style.use, given)
    with progress(len(styles) * steps, "filming") as advance:
        film.write(out, _frames(model, sources, styles, steps, advance), len(styles) * steps, fps)
    click.echo(out)


def _frames(
    model: Translator, sources: Sources, styles: list[Chosen], steps: int, advance: Callable[[], None]
) -> Iterator[Image.Image]:
    """Yield frames: sources at the top, their translations below, and the reference at the left."""
    from i2i_core.data.sheet import sheet

    height, width = model.image_size
    corner = [None] if styles[0].reference else []
    for number, chosen in enumerate(styles):
        following = styles[(number + 1) % len(styles)]
        window = list(filter(None, (reference_of(model, c) for c in (chosen, following))))
        for step in range(steps):
            share = step / steps
            share *= share * (3 - 2 * share)  # ease in and out
            left = [_between(window[0], window[1], share, (width, height))] if window else []
            row = sources.shown(chosen.style.towards(following.style, share))
            yield sheet([[*corner, *sources.pictures()], [*left, *row]], (width, height))
            advance()


def _between(one: Image.Image, other: Image.Image, share: float, size: tuple[int, int]) -> Image.Image:
    """Draw a window that slides down from one picture to another."""
    from PIL import Image

    width, height = size
    window = Image.new("RGB", size, "white")
    for picture, top in ((one, -share * height), (other, (1 - share) * height)):
        window.paste(picture, ((width - picture.width) // 2, round(top) + (height - picture.height) // 2))
    return window
