"""The subcommands `i2i pull` and `i2i push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import subcommand, warn, with_overwrite, with_plugins

if TYPE_CHECKING:
    from i2i_core.registry.plugins import Plugins


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

    Downloads only config.json, the safetensors files that it names, the recipe, the model card and its pictures. The
    environment variables HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE and HF_HUB_DOWNLOAD_TIMEOUT apply. Needs: pip install
    "i2i-gan[hub]".

    \b
    i2i pull somebody/emoji --to models/emoji
    """
    from i2i.hub import pull as fetch

    click.echo(fetch(name, to, revision, overwrite))


@subcommand
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--public", is_flag=True, help="Make a new repository public. The default is private.")
@with_plugins
def push(plugins: Plugins, folder: Path, name: str, public: bool) -> None:
    """Upload the model in FOLDER to a hub as NAME (OWNER/MODEL).

    FOLDER is one that i2i export wrote, or the folder of a run, whose model is exported and uploaded. Before the
    upload, edit README.md in a model's folder: it should state the licence of the weights. Needs: pip install
    "i2i-gan[hub]", and a login with hf auth login.

    \b
    i2i push models/emoji somebody/emoji
    """
    import tempfile

    from i2i.hub import push as send
    from i2i_core.models.folder import CONFIG

    if (folder / CONFIG).is_file() or not (folder / "checkpoints").is_dir():
        click.echo(send(folder, name, private=not public))
        return
    from i2i.exporting import export

    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary) / name.rpartition("/")[2]
        export(folder, model, plugins)
        click.echo(send(model, name, private=not public))
    warn("the model card does not state the licence of the weights; add it to README.md on the hub")
