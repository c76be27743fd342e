"""The subcommand `i2i report`."""

from __future__ import annotations

from pathlib import Path

import click

from .common import subcommand, warn, with_overwrite


@subcommand
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE", help="The file to write. The default is RUN/report.html."
)
@with_overwrite
def report(run: Path, to: Path | None, overwrite: bool) -> None:
    """Write a report of RUN as an HTML page.

    The page shows sample grids over time, losses, metrics, learning rates, speed, memory, the recipe and versions. It
    is one file that loads nothing. RUN is the folder of a run, which may still be training.

    \b
    i2i report runs/stargan_v2-001
    """
    from i2i.report.page import page
    from i2i.report.run_report import read
    from i2i_core.data.pictures import refuse_existing
    from i2i_core.disk.files import write_file

    target = to or run / "report.html"
    facts = read(run)
    if not overwrite:
        refuse_existing([target])
    html = page(facts, warn)
    write_file(target, html.encode("utf-8", "replace"))  # a file name may not be valid Unicode
    click.echo(target)
