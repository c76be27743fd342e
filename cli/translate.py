"""The subcommand `i2i translate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, with_overwrite
from .using import Chosen, progress, warn_of_faces, with_fit, with_model, with_styles

if TYPE_CHECKING:
    from i2i import Translator
    from i2i.fitting import Fit

THREADS = 4
"""Number of threads that read and write pictures; each keeps at most one in memory."""


@subcommand
@with_model
@click.argument("pictures", nargs=-1, required=True)
@with_styles
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
    out: Path,
    fit_by: Fit,
    original_size: bool,
    batch: int,
    overwrite: bool,
) -> None:
    """Translate PICTURES with MODEL.

    PICTURES are files, folders or globs. MODEL is a folder that i2i export wrote, the folder of a run, or OWNER/MODEL
    on a hub. By default, each picture is translated into one style of each domain.

    A translation is saved as PICTURE-DOMAIN-SEED.png, or PICTURE-DOMAIN-REFERENCE.png with --reference. Pictures of
    subfolders are saved in the same subfolders. Pictures that cannot be read are reported and skipped; the exit code is
    then 3.

    \b
    i2i translate models/emoji photo.jpg
    i2i translate models/emoji photos/ --domain flat --styles 4 --psi 0.7
    i2i translate models/emoji photo.jpg --domain flat --reference other.png --out flat.png
    """
    from i2i_core.data.pictures import find_pictures, is_one_file, refuse_existing, without_suffixes
    from i2i_core.errors import DataError, UsageError

    one_file, found, styles = is_one_file(out), find_pictures(pictures), choose(model)
    if one_file:
        if len(found) * len(styles) != 1:
            raise UsageError(
                f"{out} is one file, but there are {len(found)} pictures and {len(styles)} styles; name a folder "
                f"with --out"
            )
        targets = {path: [out] for path in found}
    else:
        targets = {
            path: [out / f"{place}-{chosen.name}.png" for chosen in styles]
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
    failed = _translate(model, styles, targets, fit_by, original_size, batch)
    done = len(written) - failed * len(styles)
    click.echo(f"{out}: {done} translation{'s' * (done != 1)}")
    if failed:
        raise DataError(f"{failed} of {len(found)} pictures could not be read and were skipped")


def _translate(
    model: Translator,
    styles: list[Chosen],
    targets: dict[Path, list[Path]],
    fit_by: Fit,
    original_size: bool,
    batch: int,
) -> int:
    """Write all translations; returns the number of pictures that could not be read.

    Threads read and write the files: at 64 px, writing a picture takes as long as translating it.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    import torch
    from PIL import Image

    from i2i import fitting
    from i2i.fitting import PixelBox, fit
    from i2i_core.data.batches import to_picture
    from i2i_core.data.pictures import read_picture, write_picture
    from i2i_core.errors import DataError

    def read(path: Path) -> tuple[torch.Tensor, PixelBox, tuple[int, int]] | DataError:
        try:
            picture = read_picture(path)
        except DataError as error:
            return error
        return *fit(picture, model.image_size, fit_by), fitting.original_size(picture, model.image_size, fit_by)

    def write(path: Path, x: torch.Tensor, box: PixelBox, size: tuple[int, int]) -> None:
        made = to_picture(x, box)
        write_picture(path, made.resize(size, Image.Resampling.BICUBIC) if original_size else made)

    failed = 0
    writing: list[Future[None]] = []
    with progress(len(targets) * len(styles), "translating") as advance, ThreadPoolExecutor(THREADS) as pool:

        def written() -> None:
            while writing:
                writing.pop(0).result()
                advance()

        for paths in _chunks(list(targets), batch):
            fitted = {}
            for path, found in zip(paths, pool.map(read, paths), strict=True):
                if isinstance(found, DataError):
                    failed += 1
                    click.echo(str(found), err=True)
                else:
                    fitted[path] = found
            if not fitted:
                continue
            sources = model.sources(torch.stack([x for x, _, _ in fitted.values()]))
            warn_of_faces(model, list(fitted), sources.x_real)
            for number, chosen in enumerate(styles):
                made = sources.into(chosen.style)
                written()  # of the style before, so that at most one batch waits
                writing += [
                    pool.submit(write, targets[path][number], x, box, size)
                    for x, (path, (_, box, size)) in zip(made, fitted.items(), strict=True)
                ]
        written()
    return failed


def _chunks(paths: list[Path], size: int) -> Iterable[list[Path]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))
