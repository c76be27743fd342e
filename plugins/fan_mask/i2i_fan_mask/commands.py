"""The subcommands `i2i align` and `i2i masks`."""

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
    help="FAN's weights, wing.ckpt or .safetensors. Default: the network face68, which needs no file.",
)
with_overwrite = click.option("--overwrite", is_flag=True, help="Replace existing files.")


@click.command()
@with_pictures
@click.argument("out", type=click.Path(path_type=Path))
@with_weights
@click.option("--size", type=click.IntRange(8, 4096), default=256, show_default=True, help="Side of a crop in pixels.")
@click.option(
    "--mean",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Mean landmarks: celeba_lm_mean.npz, or a folder of aligned faces from which they are computed.",
)
@with_overwrite
def align(pictures: str, out: Path, weights: Path | None, size: int, mean: Path | None, overwrite: bool) -> None:
    """Crop and align the face of each picture, as in CelebA-HQ.

    If a picture shows several faces, the largest is used. IN is a picture, a folder (searched at any depth) or a
    glob. OUT is a folder, which gets the subfolders of IN, or a file for one picture. Areas outside a photograph are
    mirrored and blurred. Pictures without a face are listed and skipped, and the exit code is then 3.

    \b
    i2i align photos data/mine/train
    i2i align me.jpg me.png --size 512
    i2i align photos aligned --weights wing.ckpt --mean celeba_lm_mean.npz
    """
    from i2i_core.data.decoding.files import read_picture
    from i2i_core.data.pictures import write_picture
    from i2i_core.errors import DataError

    places = _places(pictures, out, overwrite)
    finder, fan = _sources(weights)
    from .align import crop, read_mean, similarity
    from .photographs import find_landmarks

    to = read_mean() if mean is None else _measure(mean, finder, fan) if mean.is_dir() else read_mean(mean)

    def one(path: Path) -> None:
        picture = read_picture(path)
        if (landmarks := find_landmarks(picture, finder, fan or finder)) is None:
            raise DataError(f"no face was found in {path}")
        write_picture(places[path], crop(picture, similarity(landmarks, to), size))

    _each(list(places), one, "aligned", out)


@click.command()
@with_pictures
@click.argument("out", type=click.Path(path_type=Path))
@with_weights
@with_overwrite
def masks(pictures: str, out: Path, weights: Path | None, overwrite: bool) -> None:
    """Draw the landmarks and masks of faces.

    The output shows each picture, its landmarks, and the picture under each of the two masks. IN is a picture, a
    folder (searched at any depth) or a glob. OUT is a folder, or a file for one picture. As in training, the whole
    picture is used, at 256 x 256 pixels. With --weights the output has one row for face68 and one for FAN. Pictures
    without a face are listed and skipped, and the exit code is then 3.

    \b
    i2i masks data/celeba_hq/val masks
    i2i masks me.png masks.png --weights wing.ckpt
    """
    from i2i_core.data.decoding.files import read_picture
    from i2i_core.data.pictures import write_picture
    from i2i_core.errors import DataError

    places = _places(pictures, out, overwrite)
    finder, fan = _sources(weights)
    from .sheets import sheet

    sources: dict[str, Face68 | Heatmaps] = {FACE68: finder} if fan is None else {FACE68: finder, FAN: fan}

    def one(path: Path) -> None:
        shown = sheet(read_picture(path), sources, finder)
        if shown is None:
            raise DataError(f"no face was found in {path}; crop faces from photographs with i2i align first")
        write_picture(places[path], shown)

    _each(list(places), one, "shown", out)


def _places(pictures: str, out: Path, overwrite: bool) -> dict[Path, Path]:
    """Return the output file of each picture: OUT itself, or the same path below OUT as below IN."""
    from i2i_core.data.pictures import find_pictures, is_one_file, refuse_existing, without_suffixes
    from i2i_core.errors import UsageError

    found = find_pictures([pictures])
    if is_one_file(out):
        if len(found) > 1:
            raise UsageError(f"{out} is one file, but {pictures} has {len(found)} pictures; give a folder as OUT")
        places = dict.fromkeys(found, out)
    else:
        places = {path: out / f"{place}.png" for path, place in without_suffixes(found).items()}
    if not overwrite:
        refuse_existing(places.values())
    return places


def _sources(weights: Path | None) -> tuple[Face68, Heatmaps | None]:
    """Load face68, and FAN if weights are given, to the GPU if there is one; raises CheckpointError for bad weights."""
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
    """Compute the mean landmarks (98, 2) of a folder of aligned faces; raises DataError if no face is found."""
    import numpy as np

    from i2i_core.data.decoding.files import read_picture
    from i2i_core.data.pictures import find_pictures
    from i2i_core.errors import DataError

    from .photographs import aligned_landmarks

    found = (
        aligned_landmarks(read_picture(path), finder, fan or finder)
        for path in _watched(list(find_pictures([str(folder)])), "measured")
    )
    if not (faces := [landmarks for landmarks in found if landmarks is not None]):
        raise DataError(f"no aligned face was found in the pictures of {folder}; give a folder of aligned faces")
    mean: Array = np.mean(faces, axis=0)
    return mean


def _each(paths: Sequence[Path], one: Callable[[Path], None], done: str, out: Path) -> None:
    """Process each picture; report those that fail, and raise DataError at the end if there are any."""
    from i2i_core.errors import DataError, counted

    failed = 0
    for path in _watched(paths, done):
        try:
            one(path)
        except DataError as error:
            failed += 1
            click.echo(str(error), err=True)
    summary = f"{len(paths) - failed} of {counted(len(paths), 'picture')} {done}"
    if failed:
        raise DataError(f"{summary}; the others are listed above")
    click.echo(out)
    click.echo(summary, err=True)


def _watched(paths: Sequence[Path], done: str) -> Iterable[Path]:
    """Iterate over the paths, with a progress bar if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(paths, f"pictures {done}", console=console, transient=True, disable=not console.is_terminal)
