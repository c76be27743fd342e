"""The subcommands `i2i data check` and `i2i data split`."""

from __future__ import annotations

import click

from .data_check import check
from .data_split import split


@click.group()
def data() -> None:
    """Check pictures before training, and split them."""


data.add_command(check)
data.add_command(split)
