"""`i2i data check`."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import grid, print_json, show, verb, with_json, with_plugins, with_sets

if TYPE_CHECKING:
    from i2i_core.interfaces import Dataset
    from i2i_core.plugins import Plugins

SHOWN = 20
"""So many broken and so many duplicate pictures are named; --json names all."""
Facts = dict[str, Any]


@click.group()
def data() -> None:
    """Look at pictures before training."""


@verb
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--recipe", metavar="NAME", help="Check the pictures that a recipe names, instead of a FOLDER.")
@with_sets
@with_json
@with_plugins
def check(plugins: Plugins, folder: Path | None, recipe: str | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Count pictures; name the broken and the duplicate.

    FOLDER holds one folder of pictures per domain. A picture of less than 8 pixels counts as broken. Exits 3 when
    training on them would fail.

    \b
    i2i data check photos/train
    i2i data check --recipe my.yaml
    """
    from i2i_core.errors import DataError

    if (folder is None) == (recipe is None):
        raise click.UsageError("name either a FOLDER or --recipe NAME")
    reports = list[Facts]()
    problem: DataError | None = None
    looks = look_at_folder(folder) if folder is not None else look_at_recipe(recipe or "", sets, plugins)
    try:
        for report in looks:
            reports.append(report)
            if not as_json:
                _print(report)
    except DataError as error:
        problem = error
    if as_json:
        print_json({"ok": problem is None, "problem": str(problem or ""), "data": reports})
        if problem is not None:
            raise SystemExit(problem.exit_code)
    elif problem is not None:
        raise problem


def look_at_folder(folder: Path) -> Iterator[Facts]:
    """What is in the folder of each domain; raises DataError afterwards when training would."""
    from i2i_core.data.image_folders import ImageFolders
    from i2i_core.errors import DataError

    if folder.is_dir():
        yield folders_report(folder)
    try:
        dataset = ImageFolders(root=folder)
    except ValueError as error:
        raise DataError(str(error)) from None
    if len(dataset.domains) < 2:
        raise DataError(f"{folder} has only the domain {dataset.domains[0]}, and a translation needs two")
    for y, domain in enumerate(dataset.domains):
        if dataset.count(y) == 0:
            raise DataError(f"domain {domain} of {folder} has no pictures; fill it or remove it")


def look_at_recipe(recipe: str, sets: Sequence[str], plugins: Plugins) -> Iterator[Facts]:
    """The training and the held-out pictures of a recipe; raises DataError after the reports when training would."""
    from i2i_core.data.image_folders import ImageFolders
    from i2i_core.launch import load
    from i2i_core.run import build_data

    checked = load(recipe, sets, plugins)
    specs = {"training": checked.data, "held out": checked.validation}
    folders = {use: spec for use, spec in specs.items() if spec is not None and spec.target is ImageFolders}
    for spec in folders.values():
        if spec.params["root"].is_dir():
            yield folders_report(**{key: spec.params[key] for key in ("root", "domains", "min_size")
                                    if key in spec.params})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped pictures are in the report
        training, held_out, _ = build_data(checked)
    for use, dataset in zip(specs, (training, held_out), strict=True):
        if (made := specs[use]) is not None and use not in folders:
            yield dataset_report(f"{made.entry.name}, {use}", dataset)


def folders_report(root: Path, domains: Sequence[str] | None = None, min_size: int = 8) -> Facts:
    """Counts, broken pictures and duplicates of one folder per domain."""
    from i2i_core.data.image_folders import find_broken, picture_files

    names = domains or sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = {name: picture_files(root / name) for name in names}
    paths = [path for found in files.values() for path in found]
    reasons = {b.path: b.reason for b in find_broken(paths, min_size)}
    return {"data": str(root),
            "domains": {name: {"pictures": sum(p not in reasons for p in found),
                               "broken": sum(p in reasons for p in found)} for name, found in files.items()},
            "broken": [{"file": str(path), "reason": reason} for path, reason in reasons.items()],
            "duplicates": [[str(path) for path in same] for same in duplicates(paths)]}


def dataset_report(name: str, dataset: Dataset) -> Facts:
    """Counts of a data set that is not in folders; what it is made of was checked by its maker."""
    counts = {domain: {"pictures": dataset.count(y), "broken": 0} for y, domain in enumerate(dataset.domains)}
    return {"data": name, "domains": counts, "broken": [], "duplicates": []}


def duplicates(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same bytes."""
    by_size, by_digest = defaultdict[int, list[Path]](list), defaultdict[bytes, list[Path]](list)
    for path in filter(Path.is_file, paths):  # a link to nothing is told as broken
        by_size[path.stat().st_size].append(path)
    for same_size in by_size.values():
        for path in same_size if len(same_size) > 1 else ():
            with open(path, "rb") as file:
                by_digest[hashlib.file_digest(file, "sha256").digest()].append(path)
    return [same for same in by_digest.values() if len(same) > 1]


def _print(report: Facts) -> None:
    counts = grid("domain", "pictures", "broken")
    for domain, row in report["domains"].items():
        counts.add_row(domain, str(row["pictures"]), str(row["broken"]))
    show(report["data"], counts)
    lines = [f"broken: {b['file']} ({b['reason']})" for b in report["broken"]]
    same = [f"same bytes: {' = '.join(group)}" for group in report["duplicates"]]
    for found in (lines, same):
        for line in found[:SHOWN]:
            click.echo(line)
        if len(found) > SHOWN:
            click.echo(f"and {len(found) - SHOWN} more; --json names all")


data.add_command(check)
