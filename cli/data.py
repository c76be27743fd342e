"""The subcommand `i2i data check`."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import new_table, print_json, print_tables, subcommand, with_json, with_plugins, with_sets

if TYPE_CHECKING:
    from i2i_core.data.image_folders import ImageFolders
    from i2i_core.interfaces import Dataset, RecordDataset
    from i2i_core.registry.plugins import Plugins

SHOWN = 20
"""Maximum number of lines of each kind (broken, duplicate, ignored); --json lists all files."""
LOOKED_AT, FEW_LEVELS = 10, 64
"""Number of files of a domain that are searched for class ids, and a level that these do not reach."""
Facts = dict[str, Any]


@click.group()
def data() -> None:
    """Check pictures before training."""


@subcommand
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--recipe", metavar="NAME", help="Check the data of a recipe instead of a FOLDER.")
@with_sets
@with_json
@with_plugins
def check(plugins: Plugins, folder: Path | None, recipe: str | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Count pictures, and list broken, duplicate and ignored files.

    FOLDER contains a folder of pictures for each domain. A picture with a side below 8 pixels counts as broken. Files
    that are not pictures are ignored. Exits with code 3 if training with this data would fail.

    \b
    i2i data check photos/train
    i2i data check --recipe my.yaml
    """
    from i2i_core.errors import DataError

    if (folder is None) == (recipe is None):
        raise click.UsageError("name either a FOLDER or a recipe with --recipe NAME")
    reports, problem = list[Facts](), ""
    looks = look_at_folder(folder) if folder is not None else look_at_recipe(recipe or "", sets, plugins)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report lists skipped pictures
            for report in looks:
                reports.append(report)
                if not as_json:
                    _print(report)
    except DataError as error:
        if not as_json:
            raise
        problem = str(error)
    if as_json:
        print_json({"ok": not problem, "problem": problem, "data": reports})
    if problem:
        raise SystemExit(DataError.exit_code)


def look_at_folder(folder: Path) -> Iterator[Facts]:
    """Yield a report on a folder; then raise DataError if training with it would."""
    from i2i_core.data.image_folders import ImageFolders
    from i2i_core.errors import DataError

    try:
        dataset = ImageFolders(root=folder, broken="skip")
        yield report_on(dataset, str(folder))
        ImageFolders(root=folder)
    except ValueError as error:
        raise DataError(str(error)) from None
    if len(dataset.domains) < 2:
        raise DataError(f"{folder} has only the domain {dataset.domains[0]}; a translation needs two domains")
    for y, domain in enumerate(dataset.domains):
        if dataset.count(y) == 0:
            raise DataError(f"the domain {domain} of {folder} has no pictures; add some, or remove the folder")


def look_at_recipe(recipe: str, sets: Sequence[str], plugins: Plugins) -> Iterator[Facts]:
    """Yield reports on the training and held-out pictures of a recipe; then raise DataError if training would."""
    from i2i_core.data.cache import refuse_cache
    from i2i_core.data.image_folders import ImageFolders
    from i2i_core.data.sets import build_data
    from i2i_core.plan.check import load
    from i2i_core.registry.specs import build

    checked = load(recipe, sets, plugins)
    for use, spec in {"training": checked.data, "held out": checked.validation}.items():
        if spec is not None:
            if spec.target is ImageFolders:
                spec = replace(spec, params={**spec.params, "broken": "skip"})
            dataset = build(spec, {"image_size": checked.recipe.data.image_size})
            yield report_on(dataset, str(getattr(dataset, "root", f"{spec.entry.name}, {use}")))
    refuse_cache(build_data(checked).train, checked.recipe)


def report_on(dataset: Dataset | RecordDataset, name: str) -> Facts:
    """Count the pictures of each domain; for image folders, also list broken, duplicate and ignored files."""
    from i2i_core.data.image_folders import ImageFolders

    facts: Facts = {"data": name, "broken": [], "duplicates": [], "ignored": [], "notes": []}
    facts["domains"] = {domain: {"pictures": dataset.count(y), "broken": 0} for y, domain in enumerate(dataset.domains)}
    if isinstance(dataset, ImageFolders):
        for path, reason in dataset.broken.items():
            facts["broken"].append({"file": str(path), "reason": reason})
            for domain, folder in dataset.places.items():
                facts["domains"][domain]["broken"] += path.is_relative_to(folder)
        paths = [*dataset.broken, *(path for paths in dataset.files for path in paths)]
        facts["notes"] = [*_like_labels(dataset)]
        facts["duplicates"] = [[str(path) for path in sorted(same)] for same in duplicates(paths)]
        facts["ignored"] = [str(path) for path in _ignored(dataset)]
    return facts


def _ignored(dataset: ImageFolders) -> Iterator[Path]:
    """Yield the files that no format of the data set reads, and those beside its folders."""
    suffixes = {suffix for form in (*dataset.formats.values(), *dataset.fields.values()) for suffix in form.suffixes}
    for path in sorted({*dataset.root.rglob("[!.]*")} - dataset.used()):
        if path.is_file() and (path.suffix.lower() not in suffixes or path.parent == dataset.root):
            yield path


def _like_labels(dataset: ImageFolders) -> Iterator[str]:
    """Yield a sentence for each domain of RGB pictures whose files look like class ids: grey and of low levels."""
    import numpy as np

    from i2i_core.data.decoding import decode_numbers
    from i2i_core.data.formats.picture import Picture

    for domain, paths in zip(dataset.domains, dataset.files, strict=True):
        if dataset.formats[domain] != Picture() or not paths:
            continue
        try:
            pictures = [decode_numbers(path) for path in paths[:: len(paths) // LOOKED_AT + 1]]
        except ValueError:  # several pages, or floats: pictures, and no class ids
            continue
        tops = [int(np.asarray(picture).max()) for picture in pictures if picture.mode in ("L", "I;16")]
        if len(tops) == len(pictures) and max(tops) < FEW_LEVELS:
            yield (
                f"the files of {domain} are grey with levels up to {max(tops)}: if these are class ids, give the "
                f"domain the format {{use: labels, classes: {max(tops) + 1}}}"
            )


def duplicates(paths: Iterable[Path]) -> list[list[Path]]:
    """Find groups of files with the same bytes."""
    by_size, by_digest = defaultdict[int, list[Path]](list), defaultdict[bytes, list[Path]](list)
    for path in filter(Path.is_file, paths):  # a dangling link is reported as broken
        by_size[path.stat().st_size].append(path)
    for same_size in by_size.values():
        for path in same_size if len(same_size) > 1 else ():
            with open(path, "rb") as file:
                by_digest[hashlib.file_digest(file, "sha256").digest()].append(path)
    return [same for same in by_digest.values() if len(same) > 1]


def _print(report: Facts) -> None:
    counts = new_table("domain", "pictures", "broken")
    for domain, row in report["domains"].items():
        counts.add_row(domain, str(row["pictures"]), str(row["broken"]))
    print_tables(report["data"], counts)
    notes = [f"note: {note}" for note in report["notes"]]
    lines = [f"broken: {b['file']} ({b['reason']})" for b in report["broken"]]
    same = [f"duplicates: {' = '.join(group)}" for group in report["duplicates"]]
    other = [f"ignored: {file}" for file in report["ignored"]]
    for found in (notes, lines, same, other):
        for line in found[:SHOWN]:
            click.echo(line)
        if len(found) > SHOWN:
            click.echo(f"and {len(found) - SHOWN} more; --json lists all")


data.add_command(check)
