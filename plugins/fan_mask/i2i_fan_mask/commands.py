"""`i2i align` and `i2i masks`: the verbs that this plugin adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .align import Array
    from .components import Heatmaps
    from .face68 import Face68

FACE68, FAN = "face68", "FAN"

with_pictures = click.argument("pictures", metavar="IN")
with_weights = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="FAN's: wing.ckpt or .safetensors; else face68 is used, which needs no file.",
)
with_overwrite = click.option("--overwrite", is_flag=True, help="Replace what is there.")


@click.command()
@with_pictures
@click.argument("out", type=click.Path(path_type=Path))
@with_weights
@click.option("--size", type=click.IntRange(8, 4096), default=256, show_default=True, help="Side in pixels.")
@click.option(
    "--mean",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where landmarks should be: celeba_lm_mean.npz, or a folder of aligned faces to measure.",
)
@with_overwrite
def align(pictures: str, out: Path, weights: Path | None, size: int, mean: Path | None, overwrite: bool) -> None:
    """Crop the face of each picture, upright, as in CelebA-HQ.

    It is the largest one where there are several. IN is a picture, a folder (at any depth) or a glob; OUT a folder,
    which keeps IN's folders, or a file for one picture. What lies outside a photograph is mirrored and
    blurred. Pictures without a face are named and left out, and the exit code is then 3.

    \b
    i2i align photos data/mine/train
    i2i align me.jpg me.png --size 512
    i2i align photos aligned --weights wing.ckpt --mean celeba_lm_mean.npz
    """
    from i2i_core.data.pictures import read_picture, write_picture
    from i2i_core.errors import DataError

    places = _places(pictures, out, overwrite)
    finder, fan = _sources(weights)
    from .align import crop, read_mean, similarity
    from .photographs import find_landmarks

    to = read_mean() if mean is None else _measure(mean, finder, fan) if mean.is_dir() else read_mean(mean)

    def one(path: Path) -> None:
        picture = read_picture(path)
        if (landmarks := find_landmarks(picture, finder, fan or finder)) is None:
            raise DataError(f"{path} shows no face that could be found")
        write_picture(places[path], crop(picture, similarity(landmarks, to), size))

    _each(list(places), one, "aligned", out)


@click.command()
@with_pictures
@click.argument("out", type=click.Path(path_type=Path))
@with_weights
@with_overwrite
def masks(pictures: str, out: Path, weights: Path | None, overwrite: bool) -> None:
    """Show what masks of a face cover.

    Each picture beside its landmarks, and both masks over it. IN is a picture, a folder (at any depth) or a glob; OUT
    a folder, or a file for one picture. Pictures are seen as in training: whole, at 256 x 256 px. With --weights
    there is a row of face68's masks and one of FAN's. Pictures without a face are named and left out, and the exit
    code is then 3.

    \b
    i2i masks data/celeba_hq/val masks
    i2i masks me.png masks.png --weights wing.ckpt
    """
    from i2i_core.data.pictures import read_picture, write_picture
    from i2i_core.errors import DataError

    places = _places(pictures, out, overwrite)
    finder, fan = _sources(weights)
    from .sheets import sheet

    sources: dict[str, Face68 | Heatmaps] = {FACE68: finder} if fan is None else {FACE68: finder, FAN: fan}

    def one(path: Path) -> None:
        shown = sheet(read_picture(path), sources, finder)
        if shown is None:
            raise DataError(f"{path} shows no face that could be found; i2i align crops faces of photographs")
        write_picture(places[path], shown)

    _each(list(places), one, "shown", out)


def _places(pictures: str, out: Path, overwrite: bool) -> dict[Path, Path]:
    """Where the answer to each picture goes: OUT itself, or below it by the same path as below IN."""
    from i2i_core.data.pictures import find_pictures, is_one_file, refuse_existing, without_suffixes
    from i2i_core.errors import UsageError

    found = find_pictures([pictures])
    if is_one_file(out):
        if len(found) > 1:
            raise UsageError(f"{out} is one picture and {pictures} names {len(found)}; name a folder instead")
        places = dict.fromkeys(found, out)
    else:
        places = {path: out / f"{place}.png" for path, place in without_suffixes(found).items()}
    if not overwrite:
        refuse_existing(places.values())
    return places


def _sources(weights: Path | None) -> tuple[Face68, Heatmaps | None]:
    """face68, and FAN if there are weights for it; on a GPU if there is one. Raises CheckpointError."""
    import torch

    from i2i_core.errors import CheckpointError

    from .components import Heatmaps
    from .face68 import Face68

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        fan = None if weights is None else Heatmaps(weights=weights).float().to(device)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return Face68().to(device), fan


def _measure(folder: Path, finder: Face68, fan: Heatmaps | None) -> Array:
    """The mean landmarks of a folder of aligned faces."""
    import numpy as np

    from i2i_core.data.pictures import find_pictures, read_picture
    from i2i_core.errors import DataError

    from .photographs import aligned_landmarks

    found = (
        aligned_landmarks(read_picture(path), finder, fan or finder)
        for path in _watched(list(find_pictures([str(folder)])), "measured")
    )
    if not (faces := [landmarks for landmarks in found if landmarks is not None]):
        raise DataError(f"{folder} has no picture that shows an aligned face")
    mean: Array = np.mean(faces, axis=0)
    return mean


def _each(paths: Sequence[Path], one: Callable[[Path], None], done: str, out: Path) -> None:
    """Do something with each picture; those that cannot be used are named, and raise DataError at the end."""
    from i2i_core.errors import DataError

    failed = 0
    for path in _watched(paths, done):
        try:
            one(path)
        except DataError as error:
            failed += 1
            click.echo(str(error), err=True)
    summary = f"{len(paths) - failed} of {len(paths)} pictures {done}"
    if failed:
        raise DataError(f"{summary}; the others are named above")
    click.echo(out)
    click.echo(summary, err=True)


def _watched(paths: Sequence[Path], done: str) -> Iterable[Path]:
    """The paths, with a bar on stderr where somebody looks."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(paths, f"pictures {done}", console=console, transient=True, disable=not console.is_terminal)
