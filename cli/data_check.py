"""The subcommand `i2i data check`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import new_table, print_json, print_tables, subcommand, with_json, with_plugins, with_sets

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.survey.facts import Facts
    from i2i_core.registry.plugins import Plugins
    from i2i_core.registry.specs import Spec

SHOWN = 20
"""Maximum number of lines of each kind (broken, duplicate, ignored); --json lists all files."""


@subcommand
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--recipe", metavar="NAME", help="Check the data of a recipe instead of a FOLDER.")
@with_sets
@with_json
@with_plugins
def check(plugins: Plugins, folder: Path | None, recipe: str | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Count and measure pictures, and say what is wrong or unusual, with what to write.

    Lists broken files, duplicates, pictures that look the same, pictures that are both in training and held out, and
    files that are ignored. FOLDER contains a folder of pictures for each domain. A picture with a side below 8 pixels
    counts as broken. Exits with code 3 if training with this data would fail.

    \b
    i2i data check photos/train
    i2i data check --recipe my.yaml
    """
    from i2i_core.errors import DataError

    if (folder is None) == (recipe is None):
        raise click.UsageError("name either a FOLDER or a recipe with --recipe NAME")
    reports, problem = list[Any](), ""
    found = look_at_folder(folder) if folder is not None else look_at_recipe(recipe or "", sets, plugins)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report says the same
            for facts in found:
                reports.append(asdict(facts))
                if not as_json:
                    show(facts)
    except DataError as error:
        if not as_json:
            raise
        problem = str(error)
    if as_json:
        print_json({"ok": not problem, "problem": problem, "data": reports})
    if problem:
        raise SystemExit(DataError.exit_code)


def look_at_folder(folder: Path) -> Iterator[Facts]:
    """Yield the facts about a folder; then raise DataError if training with it would."""
    from i2i.survey.facts import facts_of
    from i2i.survey.pairs import doubles_in
    from i2i_core.data.datasets.image_folders import ImageFolders
    from i2i_core.data.datasets.splits import as_yaml
    from i2i_core.data.sets import no_pictures
    from i2i_core.data.walking import folders_in
    from i2i_core.errors import DataError

    if folder.is_dir() and not folders_in(folder) and (doubles := doubles_in(folder)):
        todo = "check a recipe with this data"
        if_so, paired = ("", "") if doubles.likely else ("if they are, ", " --paired")
        written = f"which i2i init --data {folder}{paired} writes:\n{as_yaml(doubles.write)}"
        raise DataError(f"{doubles.says}; {if_so}{todo}, {written}")
    try:
        dataset = ImageFolders(root=folder, broken="skip")
        yield facts_of(dataset, str(folder))
        ImageFolders(root=folder)
    except ValueError as error:
        raise DataError(str(error)) from None
    if len(dataset.domains) < 2:
        raise DataError(f"{folder} has only the domain {dataset.domains[0]}; a translation needs two domains")
    for y, domain in enumerate(dataset.domains):
        if dataset.count(y) == 0:
            what = no_pictures(dataset, domain)
            raise DataError(f"the domain {domain} of {folder} has {what}; add some, or remove the folder")


def look_at_recipe(recipe: str, sets: Sequence[str], plugins: Plugins) -> Iterator[Facts]:
    """Yield the facts about the data sets of a recipe, those inside others first; then raise DataError as training."""
    from i2i.survey.facts import facts_of, facts_of_both
    from i2i_core.data.cache import refuse_cache
    from i2i_core.data.datasets.file_records import FileRecords
    from i2i_core.data.sets import build_data
    from i2i_core.plan.check import load
    from i2i_core.registry.specs import build

    checked = load(recipe, sets, plugins)
    known = {"image_size": checked.recipe.data.image_size}
    of_files: dict[str, list[FileRecords]] = {}
    for use, spec in {"training": checked.data, "held out": checked.validation}.items():
        if spec is None:
            continue
        for inner in _of_files(spec):
            dataset = build(replace(inner, params={**inner.params, "broken": "skip"}), known)
            of_files.setdefault(use, []).append(dataset)
            yield facts_of(dataset, f"{getattr(dataset, 'list', dataset.root)}, {use}")
        if not (isinstance(spec.target, type) and issubclass(spec.target, FileRecords)):
            yield facts_of(build(spec, known), f"{spec.entry.name}, {use}")
    for train, held_out in zip(of_files.get("training", ()), of_files.get("held out", ()), strict=False):
        yield facts_of_both(train, held_out, "training and held out")
    refuse_cache(build_data(checked).train, checked.recipe)


def _of_files(spec: Spec) -> Iterator[Spec]:
    """Yield the data sets of files among a data set and those that it is made of."""
    from i2i_core.data.datasets.file_records import FileRecords
    from i2i_core.registry.specs import Spec, replace_specs

    inner = list[Spec]()
    for value in spec.params.values():
        replace_specs(value, inner.append)
    for each in inner:
        yield from _of_files(each)
    if isinstance(spec.target, type) and issubclass(spec.target, FileRecords):
        yield spec


def show(facts: Facts) -> None:
    """Print the facts about a data set."""
    if facts.domains:
        print_tables(facts.data, _table(facts))
    for note in facts.notes:
        click.echo(f"note: {note.text}" + ":" * bool(note.write))
        for line in note.write.splitlines():
            click.echo(f"    {line}")
    if facts.in_several_splits:
        number = len(facts.in_several_splits)
        click.echo(
            f"note: {number} picture{'s are' if number > 1 else ' is'} in training and held out, so measurements on "
            f"held-out pictures are too good: remove them from one side, or split anew with i2i data split"
        )
    for lines in (
        [f"broken: {b['file']} ({b['reason']})" for b in facts.broken],
        [f"in both: {' = '.join(group)}" for group in facts.in_several_splits],
        [f"duplicates: {' = '.join(group)}" for group in facts.duplicates],
        [f"nearly the same: {' ~ '.join(group)}" for group in facts.near_duplicates],
        [f"ignored: {file}" for file in facts.ignored],
    ):
        for line in lines[:SHOWN]:
            click.echo(line)
        if len(lines) > SHOWN:
            click.echo(f"and {len(lines) - SHOWN} more; --json lists all")


def _table(facts: Facts) -> Table:
    sized = any(of.sizes for of in facts.domains.values())
    headings = ("least", "median", "greatest", "aspect", "transparent") if sized else ()
    table = new_table("domain", "pictures", "broken", *headings)
    for name, of in facts.domains.items():
        sizes = [f"{width} x {height}" for width, height in of.sizes] or ["-"] * 3
        aspects = [f"{aspect:.3g}" for aspect in of.aspects]
        aspect = " to ".join(dict.fromkeys((aspects[0], aspects[-1]))) if aspects else "-"
        table.add_row(name, str(of.pictures), str(of.broken), *(*sizes, aspect, str(of.transparent))[: len(headings)])
    return table
