"""`i2i push` and `i2i pull`."""

from __future__ import annotations

from pathlib import Path

import click

from .common import subcommand, with_overwrite


@subcommand
@click.argument("name")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to; by default into the hub's cache, where i2i.load finds it by NAME.",
)
@click.option("--revision", metavar="NAME", help="A branch, tag or commit.")
@with_overwrite
def pull(name: str, to: Path | None, revision: str | None, overwrite: bool) -> None:
    """Fetch the model NAME (OWNER/MODEL) from a hub.

    Needs pip install "i2i-gan[hub]". HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE are honoured. Only safetensors,
    config.json, the recipe, the card and its pictures are fetched.

    \b
    i2i pull somebody/emoji --to models/emoji
    """
    from i2i.hub import pull as fetch

    click.echo(fetch(name, to, revision, overwrite))


@subcommand
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--public", is_flag=True, help="Show it to everyone, if it is new; otherwise it is private.")
def push(folder: Path, name: str, public: bool) -> None:
    """Send a model's FOLDER to a hub as NAME (OWNER/MODEL).

    Needs pip install "i2i-gan[hub]", and a login there: hf auth login. Read its README.md first: it should say under
    which licence you share the weights.

    \b
    i2i push models/emoji somebody/emoji
    """
    from i2i.hub import push as send

    click.echo(send(folder, name, private=not public))
