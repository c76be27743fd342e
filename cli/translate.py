"""The subcommand `i2i translate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, with_overwrite
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
@click.option("--original-size", is_flag=True, help="Resize each translation to the size of its source.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="The number of pictures to translate at a time.",
)
@with_overwrite
def translate(
    model: Translator,
    choose: Callable[[Translator], list[Chosen]],
    pictures: tuple[str, ...],
    given: tuple[str, ...],
    out: Path,
    fit_by: Fit | None,
    original_size: bool,
    batch: int,
    overwrite: bool,
) -> None:
    """Translate PICTURES with MODEL.

    PICTURES are files, folders or globs. MODEL is a folder that i2i export wrote, the folder of a run, or OWNER/MODEL
    on a hub. By default, each picture is translated into one style of each domain.

    A translation is saved as PICTURE-DOMAIN-SEED.png, or PICTURE-DOMAIN-REFERENCE.png with --reference; a raster as
    .tif. Pictures of
    subfolders are saved in the same subfolders. Pictures that cannot be read are reported and skipped; the exit code is
    then 3.

    \b
    i2i translate models/emoji photo.jpg
    i2i translate models/emoji photos/ --domain flat --styles 4 --psi 0.7
    i2i translate models/emoji photo.jpg --domain flat --reference other.png --out flat.png
    """
    from i2i_core.data.pictures import find_pictures, is_one_file, refuse_existing, without_suffixes
    from i2i_core.errors import DataError, UsageError

    styles = choose(model)
    use = model.use(styles[0].style.use)
    suffixes = use.result.format.suffixes
    one_file, found = is_one_file(out, suffixes), find_pictures(pictures, use.source.format.suffixes)
    if one_file:
        if len(found) * len(styles) != 1:
            raise UsageError(
                f"{out} is one file, but there are {len(found)} pictures and {len(styles)} styles; name a folder "
                f"with --out"
            )
        targets = {path: [out] for path in found}
    else:
        targets = {
            path: [out / f"{place}-{chosen.name}{suffixes[0]}" for chosen in styles]
            for path, place in without_suffixes(found).items()
        }
    written: dict[Path, Path] = {}
    for source, files in targets.items():
        for file in files:
            if (other := written.setdefault(file, source)) != source:
                raise UsageError(
                    f"{other} and {source} would both be saved as {file}; translate them separately, each with its "
                    f"own --out"
                )
    if not overwrite:
        refuse_existing(written)
    failed = _translate(model, styles, targets, given, fit_by, original_size, batch)
    done = len(written) - failed * len(styles)
    click.echo(f"{out}: {done} translation{'s' * (done != 1)}")
    if failed:
        raise DataError(f"{failed} of {len(found)} pictures could not be read and were skipped")


def _translate(
    model: Translator,
    styles: list[Chosen],
    targets: dict[Path, list[Path]],
    given: tuple[str, ...],
    fit_by: Fit | None,
    original_size: bool,
    batch: int,
) -> int:
    """Write all translations; returns the number of pictures that could not be read.

    Threads read and write the files: at 64 px, writing a picture takes as long as translating it.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    from i2i.opening import opened
    from i2i_core.data.fitting import original_size as its_size
    from i2i_core.errors import DataError

    use, failed = model.use(styles[0].style.use), 0

    def read(path: Path) -> Value | DataError:
        try:
            return opened(path, use.source.format)
        except DataError as error:
            return error

    def write(path: Path, made: Value, size: Size) -> None:
        write_value(path, use.result.format.scale(made, size) if original_size else made, use.result.format)

    inputs = read_inputs(use, given, list(targets))  # of all pictures, so that a missing one is known at once
    places = {path: number for number, path in enumerate(targets)}
    writing: list[Future[None]] = []
    with progress(len(targets) * len(styles), "translating") as advance, ThreadPoolExecutor(THREADS) as pool:

        def written() -> None:
            while writing:
                writing.pop(0).result()
                advance()

        for paths in _chunks(list(targets), batch):
            values = dict(zip(paths, pool.map(read, paths), strict=True))
            for path, error in list(values.items()):
                if isinstance(error, DataError):
                    failed += 1
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
            for number, chosen in enumerate(styles):
                made = sources.into(chosen.style)
                written()  # of the style before, so that at most one batch waits
                writing += [
                    pool.submit(write, targets[path][number], value, size)
                    for value, path, size in zip(sources.decoded(made, use), values, sizes, strict=True)
                ]
        written()
    return failed


def _chunks(paths: list[Path], size: int) -> Iterable[list[Path]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))
