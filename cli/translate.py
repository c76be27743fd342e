"""The subcommand `i2i translate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, warn, with_overwrite
from .tiling import tiff_of_tiff, translate_in_tiles
from .using import (
    Chosen,
    progress,
    read_inputs,
    warn_of_pictures,
    with_fit,
    with_inputs,
    with_model,
    with_styles,
    write_value,
)

if TYPE_CHECKING:
    from i2i import Translator
    from i2i_core.data.fitting import Side
    from i2i_core.interfaces import Size, Value
    from i2i_core.recipe.sections import Fit

THREADS = 4
"""Number of threads that read and write pictures; each keeps at most one in memory."""


@subcommand
@with_model
@click.argument("pictures", nargs=-1, required=True)
@with_styles
@with_inputs
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="translated",
    show_default=True,
    metavar="FOLDER|FILE",
    help="The folder to write, or a file for a single translation.",
)
@with_fit
@click.option(
    "--tiles/--no-tiles",
    default=None,
    help="Translate pictures of any size at their own resolution, in overlapping windows. The default for models that "
    "were trained on patches.",
)
@click.option(
    "--half",
    type=click.Choice(["left", "right"]),
    help="Translate this half of each picture, for files that hold a pair side by side. The default for models that "
    "were trained on such files, and pictures of twice the width: the half of training.",
)
@click.option("--original-size", is_flag=True, help="Resize each translation to the size of its source.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="The number of pictures to translate at a time.",
)
@with_overwrite
@click.option("--resume", is_flag=True, help="Keep translations that exist, and make the others.")
def translate(
    model: Translator,
    choose: Callable[[Translator], list[Chosen]],
    pictures: tuple[str, ...],
    given: tuple[str, ...],
    out: Path,
    fit_by: Fit | None,
    tiles: bool | None,
    half: Side | None,
    original_size: bool,
    batch: int,
    overwrite: bool,
    resume: bool,
) -> None:
    """Translate PICTURES with MODEL.

    PICTURES are files, folders or globs. MODEL is a folder that i2i export wrote, the folder of a run, or OWNER/MODEL
    on a hub. By default, each picture is translated into one style of each domain.

    A translation is saved as PICTURE-DOMAIN-SEED.png, or PICTURE-DOMAIN-REFERENCE.png with --reference; a raster as
    .tif. Pictures of subfolders are saved in the same subfolders, and pictures of one name from several folders in
    folders of their own. Pictures that cannot be read are reported and skipped; the exit code is then 3. A translation
    is written as a whole or not at all, so --resume continues what was interrupted.

    \b
    i2i translate models/emoji photo.jpg
    i2i translate models/emoji photos/ --domain flat --styles 4 --psi 0.7
    i2i translate models/emoji photo.jpg --domain flat --reference other.png --out flat.png
    i2i translate models/maps maps/val --half left
    """
    from i2i_core.data.pictures import find_pictures, is_one_file, refuse_existing, without_suffixes
    from i2i_core.errors import DataError, UsageError, counted

    if resume and overwrite:
        raise click.UsageError("--resume keeps translations that exist, and --overwrite replaces them")
    styles = choose(model)
    use = model.use(styles[0].style.use)
    suffixes = use.result.format.suffixes
    if tiles and fit_by is not None:
        raise UsageError("--tiles translates pictures at their own size; leave --fit out")
    if tiles and half is not None:
        raise UsageError("--tiles translates whole pictures; leave --half out")
    if tiles is None:
        tiles = fit_by is None and half is None and use.source.fit == "patch"
    one_file, found = is_one_file(out, suffixes), find_pictures(pictures, use.source.format.suffixes)
    if one_file:
        if len(found) * len(styles) != 1:
            raise UsageError(
                f"{out} is one file, but there would be {len(found) * len(styles)} translations; name a folder with "
                f"--out, or one picture and one style, such as with --domain"
            )
        targets = {path: [out] for path in found}
    else:
        targets = {
            path: [out / f"{place}-{chosen.name}{suffixes[0]}" for chosen in styles]
            for path, place in without_suffixes(found).items()
        }
    if tiles and not one_file:
        targets = {path: [tiff_of_tiff(path, file) for file in files] for path, files in targets.items()}
    written: dict[Path, Path] = {}
    for source, files in targets.items():
        for file in files:
            if (other := written.setdefault(file, source)) != source:
                raise UsageError(
                    f"{other} and {source} would both be saved as {file}; translate them separately, each with its "
                    f"own --out"
                )
    if not overwrite and not resume:
        refuse_existing(written)
    there = {file for file in written if file.exists()} if resume else set[Path]()
    left = {path: files for path, files in targets.items() if not there.issuperset(files)}
    if tiles:
        failed = translate_in_tiles(model, styles, left, given, original_size, batch, there)
    else:
        failed = _translate(model, styles, left, given, fit_by, half, original_size, batch, there)
    done = sum(file not in there for path, files in left.items() if path not in failed for file in files)
    click.echo(f"{out}: {counted(done, 'translation')}" + f", {len(there)} already there" * bool(there))
    if failed:
        skipped = f"could not be read and {'was' if len(failed) == 1 else 'were'} skipped"
        raise DataError(f"{len(failed)} of {counted(len(found), 'picture')} {skipped}")


def _translate(
    model: Translator,
    styles: list[Chosen],
    targets: dict[Path, list[Path]],
    given: tuple[str, ...],
    fit_by: Fit | None,
    half: Side | None,
    original_size: bool,
    batch: int,
    there: set[Path],
) -> list[Path]:
    """Write all translations that are not `there`; returns the pictures that could not be read.

    Threads read and write the files: at 64 px, writing a picture takes as long as translating it.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    from i2i.opening import opened, picture_in
    from i2i_core.data.fitting import is_double
    from i2i_core.data.fitting import original_size as its_size
    from i2i_core.errors import DataError

    use, failed, noticed = model.use(styles[0].style.use), list[Path](), False

    def read(path: Path) -> Value | DataError:
        try:
            return picture_in(opened(path, use.source.format), use.source, half)
        except DataError as error:
            return error

    def write(path: Path, made: Value, size: Size) -> None:
        write_value(path, use.result.format.scale(made, size) if original_size else made, use.result.format)

    inputs = read_inputs(use, given, list(targets))  # of all pictures, so that a missing one is known at once
    places = {path: number for number, path in enumerate(targets)}
    writing: list[Future[None]] = []
    total = sum(file not in there for files in targets.values() for file in files)
    with progress(total, "translating") as advance, ThreadPoolExecutor(THREADS) as pool:

        def written() -> None:
            while writing:
                writing.pop(0).result()
                advance()

        for paths in _chunks(list(targets), batch):
            values = dict(zip(paths, pool.map(read, paths), strict=True))
            for path, error in list(values.items()):
                if isinstance(error, DataError):
                    failed.append(path)
                    click.echo(str(error), err=True)
                    del values[path]
            if not values:
                continue
            theirs = {
                name: [of[places[path]] for path in values] if isinstance(of, list) else of
                for name, of in inputs.items()
            }
            sources = model.sources(list(values.values()), fit_by, use=use.name, inputs=theirs)
            sizes = [its_size(value, sources.layout) for value in values.values()]
            warn_of_pictures(model, list(values), sources)
            double = [path for path, value in values.items() if is_double(value, use.source)]
            if double and not half and not noticed and use.source.seen is None:
                noticed = True
                warn(
                    f"{double[0]} is twice as wide as what the model was trained on; if it holds two pictures side by "
                    f"side, translate one of them with --half left or --half right"
                )
            for number, chosen in enumerate(styles):
                if there.issuperset(targets[path][number] for path in values):
                    continue
                made = sources.into(chosen.style)
                written()  # of the style before, so that at most one batch waits
                writing += [
                    pool.submit(write, targets[path][number], value, size)
                    for value, path, size in zip(sources.decoded(made, use), values, sizes, strict=True)
                    if targets[path][number] not in there
                ]
        written()
    return failed


def _chunks(paths: list[Path], size: int) -> Iterable[list[Path]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))
