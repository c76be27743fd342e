"""The subcommand `i2i data split`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from .common import new_table, print_tables, subcommand, with_overwrite


def part(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Read a share such as 10%, or a number of pictures; a callback for options."""
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(int(text))
    except ValueError:
        value = 0
    if value <= 0 or (text.endswith("%") and value >= 1):
        raise click.BadParameter(f"{text} should be a share such as 10%, or a number of pictures.")
    return value


@subcommand
@click.argument("root", type=click.Path(path_type=Path))
@click.option(
    "--val",
    callback=part,
    default="10%",
    show_default=True,
    metavar="PART",
    help="The pictures of each domain to hold out: a share such as 10%, or a number.",
)
@click.option("--test", callback=part, metavar="PART", help="The same for a further split, called test.")
@click.option("--seed", type=int, default=0, show_default=True, help="The seed of the choice.")
@click.option("--paired", is_flag=True, help="Files of one name are pairs.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="The list to write. The default is ROOT-split.csv beside ROOT.",
)
@with_overwrite
def split(
    root: Path, val: float, test: float | None, seed: int, paired: bool, out: Path | None, overwrite: bool
) -> None:
    """Split the pictures of ROOT into training and held-out ones, as a list. No file is moved.

    ROOT contains a folder of pictures for each domain. Pictures of one name, duplicates, and pictures that look the
    same stay on one side. The same seed and names give the same split. Broken pictures are left out.

    \b
    i2i data split photos --val 10%
    i2i data split photos --val 200 --test 200 --seed 7
    """
    from i2i.survey.splitting import list_of, split_pictures
    from i2i_core.data.datasets.image_folders import ImageFolders
    from i2i_core.data.datasets.splits import as_yaml, split_advice
    from i2i_core.data.pictures import refuse_existing
    from i2i_core.data.walking import folders_in
    from i2i_core.disk.files import write_file
    from i2i_core.errors import DataError, UsageError

    file = out or root.parent / f"{root.resolve().name}-split.csv"
    if file.suffix.lower() != ".csv":
        raise UsageError(f"{file} should end in .csv")
    if not overwrite:
        refuse_existing([file])
    if root.is_dir() and (advice := split_advice(root, folders_in(root))):
        raise DataError(f"{advice.says}, so there is a split already; write\n{as_yaml(advice.write)}")
    try:
        dataset = ImageFolders(root=root, broken="skip", paired=paired)
    except ValueError as error:
        raise DataError(str(error)) from None
    parts = {"val": val} if test is None else {"val": val, "test": test}
    splits = split_pictures(dataset, parts, seed)
    write_file(file, list_of(dataset, splits, file))
    table = new_table("domain", "train", *parts)
    for domain, of in zip(dataset.domains, dataset.files, strict=True):
        counts = Counter(splits[path] for path in of)
        table.add_row(domain, *(str(counts[name]) for name in ("train", *parts)))
    print_tables(str(file), table)
    keys = {"use": "image_list", "file": str(file), "split": "train", "validation": {"split": "val"}}
    click.echo(f"write in the recipe:\n{as_yaml(keys)}")
