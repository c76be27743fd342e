"""The subcommand `i2i compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import new_table, print_json, print_tables, subcommand, warn, with_json, with_overwrite

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.report.comparison import Comparison, Rows


@subcommand
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN RUN ...")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default="compare.html",
    show_default=True,
    help="The page to write.",
)
@with_overwrite
@with_json
def compare(runs: tuple[Path, ...], to: Path, overwrite: bool, as_json: bool) -> None:
    """Compare runs in a table and as an HTML page.

    Prints the values of the recipes that differ, the results in eval/ and the last losses of each run. The page also
    shows curves over each other and sample grids at equal steps. It is one file that loads nothing. RUNs are folders
    of runs, which may still be training. With --json, no page is written.

    \b
    i2i compare runs/stargan_v2-001 runs/stargan_v2-002
    """
    from i2i.report.comparison import Comparison
    from i2i.report.run_report import read
    from i2i_core.data.pictures import refuse_existing

    if len(runs) < 2:
        raise click.UsageError("name two or more runs; i2i report RUN is about one")
    compared = Comparison.of([read(run) for run in runs])
    if as_json:
        print_json(compared.facts())
        return
    if not overwrite:
        refuse_existing([to])
    show(compared, to)


def show(compared: Comparison, to: Path) -> None:
    """Print a comparison as tables, and write its page to `to`."""
    from i2i.report.comparison import page
    from i2i_core.disk.files import write_file
    from i2i_core.errors import counted

    html = page(compared, warn)
    for said in compared.lacking():
        click.echo(said, err=True)
    tables = compared.tables()
    if "method" in (changed := tables.get("recipe", {})):  # whose keys differ, too
        tables["recipe"] = {key: values for key, values in changed.items() if None not in values}
        hidden = len(changed) - len(tables["recipe"])
        click.echo(f"the methods differ: {to} also lists {counted(hidden, 'key')} that not all recipes have", err=True)
    for n, (heading, rows) in enumerate(tables.items()):
        print_tables(*([""] if n else []), _table(heading, compared.names, rows))
    write_file(to, html.encode("utf-8", "replace"))  # a file name may not be valid Unicode
    click.echo(f"\n{to}")


def _table(heading: str, names: Sequence[str], rows: Rows) -> Table:
    from i2i.report.comparison import text

    table = new_table(heading, *names)
    for key, values in rows.items():
        table.add_row(key, *map(text, values))
    return table
