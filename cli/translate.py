"""`i2i translate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import verb, with_overwrite
from .using import Chosen, progress, warn_of_faces, with_fit, with_model, with_styles

if TYPE_CHECKING:
    from i2i import Translator
    from i2i.fitting import Fit


@verb
@with_model
@click.argument("pictures", nargs=-1, required=True)
@with_styles
@click.option("--out", type=click.Path(path_type=Path), default="translated", show_default=True, metavar="FOLDER|FILE",
              help="Where translations go; a file for a single one.")
@with_fit
@click.option("--original-size", is_flag=True, help="Enlarge translations to the size that pictures had.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Pictures at a time.")
@with_overwrite
def translate(model: Translator, choose: Callable[[Translator], list[Chosen]], pictures: tuple[str, ...], out: Path,
              fit_by: Fit, original_size: bool, batch: int, overwrite: bool) -> None:
    """Translate PICTURES with MODEL.

    PICTURES are files, folders and globs; MODEL is a folder that `i2i export` wrote, or that of a run. Each picture is
    translated into a style of each domain. Translations are called PICTURE-DOMAIN-SEED.png, or by the reference instead
    of the seed, and keep their places in a folder. A picture that cannot be read is named and left out; the exit code
    is then 3.

    \b
    i2i translate models/emoji photo.jpg
    i2i translate models/emoji photos/ --domain flat --styles 4 --psi 0.7
    i2i translate models/emoji photo.jpg --domain flat --reference other.png --out flat.png
    """
    from i2i_core.errors import DataError, UsageError
    from i2i_core.pictures import find_pictures, is_one_file, refuse_existing

    one_file, found, styles = is_one_file(out), find_pictures(pictures), choose(model)
    if one_file:
        if len(found) * len(styles) != 1:
            raise UsageError(f"{out} is one file, and there are {len(found)} pictures in {len(styles)} styles; "
                             f"name a folder with --out")
        targets = {path: [out] for path in found}
    else:
        targets = {path: [out / place.parent / f"{place.stem}-{chosen.name}.png" for chosen in styles]
                   for path, place in found.items()}
    written: dict[Path, Path] = {}
    for source, files in targets.items():
        for file in files:
            if (other := written.setdefault(file, source)) != source:
                raise UsageError(f"{other} and {source} would both become {file}; translate one after the other, "
                                 f"with another --out")
    if not overwrite:
        refuse_existing(written)
    failed = _translate(model, styles, targets, fit_by, original_size, batch)
    done = len(written) - failed * len(styles)
    click.echo(f"{out}: {done} translation{'s' * (done != 1)}")
    if failed:
        raise DataError(f"{failed} of {len(found)} pictures could not be read")


def _translate(model: Translator, styles: list[Chosen], targets: dict[Path, list[Path]], fit_by: Fit,
               original_size: bool, batch: int) -> int:
    """Write every translation; returns how many pictures could not be read."""
    import torch
    from PIL import Image

    from i2i.fitting import fit, to_picture
    from i2i_core.errors import DataError
    from i2i_core.pictures import read_picture, write_picture

    failed = 0
    with progress(len(targets) * len(styles), "translating") as advance:
        for paths in _chunks(list(targets), batch):
            fitted, sizes = {}, {}
            for path in paths:
                try:
                    picture = read_picture(path)
                except DataError as error:
                    failed += 1
                    click.echo(str(error), err=True)
                    continue
                fitted[path], sizes[path] = fit(picture, model.image_size, fit_by), picture.size
            if not fitted:
                continue
            warn_of_faces(model, {path: x for path, (x, _) in fitted.items()})
            sources = model.sources(torch.stack([x for x, _ in fitted.values()]))
            for number, chosen in enumerate(styles):
                for x, (path, (_, box)) in zip(sources.into(chosen.style), fitted.items(), strict=True):
                    made = to_picture(x, box)
                    if original_size:
                        made = made.resize(sizes[path], Image.Resampling.BICUBIC)
                    write_picture(targets[path][number], made)
                    advance()
    return failed


def _chunks(paths: list[Path], size: int) -> Iterable[list[Any]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))
