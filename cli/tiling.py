"""Translations in tiles, for the subcommand `i2i translate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .using import Chosen, progress, read_inputs, write_value

if TYPE_CHECKING:
    from i2i import Translator
    from i2i.tiles import Rows


def tiff_of_tiff(source: Path, target: Path) -> Path:
    """Return where the translation of a file is written: that of a TIFF is a TIFF, which is written by rows."""
    from i2i.large_tiff import SUFFIXES

    return target.with_suffix(SUFFIXES[0]) if source.suffix.lower() in SUFFIXES else target


def translate_in_tiles(
    model: Translator,
    styles: Sequence[Chosen],
    targets: dict[Path, list[Path]],
    given: Sequence[str],
    original_size: bool,
    batch: int,
    there: set[Path],
) -> list[Path]:
    """Write all translations that are not `there`, one at a time; returns the pictures that could not be read."""
    from i2i.large_tiff import SUFFIXES, write_rows
    from i2i.tiles import InMemory, Tiled, joined, opened_rows
    from i2i_core.errors import DataError

    use, failed = model.use(styles[0].style.use), list[Path]()
    inputs, form = read_inputs(use, given, list(targets)), use.result.format
    with progress(len(targets) * len(styles), "translating") as advance:
        for number, (path, files) in enumerate(targets.items()):
            try:
                picture = opened_rows(path, use.source.format)
                theirs = {
                    use.inputs[name]: _rows(of[number] if isinstance(of, list) else of, model, use.inputs[name])
                    for name, of in inputs.items()
                }
                for chosen, file in zip(styles, files, strict=True):  # one at a time: a picture may be very large
                    if file in there:
                        continue
                    tiled = Tiled(model, use, picture, [chosen.style], inputs=theirs, batch=batch)
                    parts = (part for (part,) in tiled.rows())
                    if file.suffix.lower() in SUFFIXES and not isinstance(picture, InMemory) and not original_size:
                        write_rows(file, tiled.size, parts)
                    else:
                        whole = joined(list(parts))
                        write_value(file, form.scale(whole, picture.size) if original_size else whole, form)
                    advance()
            except DataError as error:  # also of rows that are read late
                failed.append(path)
                click.echo(str(error), err=True)
    return failed


def _rows(given: Any, model: Translator, field: str) -> Rows:
    from i2i.opening import opened
    from i2i.tiles import InMemory, opened_rows

    form = model.layouts[field].format
    return opened_rows(given, form) if isinstance(given, Path) else InMemory(opened(given, form))
