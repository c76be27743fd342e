"""The subcommands `i2i pull` and `i2i push`."""

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
    help="The folder to write. The default is the cache of the hub, in which other subcommands find the model by NAME.",
)
@click.option("--revision", metavar="NAME", help="A branch, tag or commit of the repository.")
@with_overwrite
def pull(name: str, to: Path | None, revision: str | None, overwrite: bool) -> None:
    """Download the model NAME (OWNER/MODEL) from a hub.

    Downloads only safetensors files, config.json, the recipe, the model card and its pictures. The environment
    variables HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE apply. Needs: pip install "i2i-gan[hub]".

    \b
    i2i pull somebody/emoji --to models/emoji
    """
    from i2i.hub import pull as fetch

    click.echo(fetch(name, to, revision, overwrite))


@subcommand
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--public", is_flag=True, help="Make a new repository public. The default is private.")
def push(folder: Path, name: str, public: bool) -> None:
    """Upload the model in FOLDER to a hub as NAME (OWNER/MODEL).

    Before the upload, edit README.md in FOLDER: it should state the licence of the weights. Needs: pip install
    "i2i-gan[hub]", and a login with hf auth login.

    \b
    i2i push models/emoji somebody/emoji
    """
    from i2i.hub import push as send

    click.echo(send(folder, name, private=not public))
