"""`i2i export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import verb, with_overwrite, with_plugins

if TYPE_CHECKING:
    from i2i_core.plugins import Plugins


@verb
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", required=True, help="The model's folder.")
@click.option("--step", type=int, metavar="N", help="Of which checkpoint; the default is the newest.")
@click.option("--show", default="x_fake", metavar="TENSOR", show_default=True, help="Which tensor is the translation.")
@with_overwrite
@with_plugins
def export(plugins: Plugins, run: Path, to: Path, step: int | None, show: str, overwrite: bool) -> None:
    """Make a model of a run: a folder to use, copy and share.

    It holds what a translation needs: averaged weights as safetensors, config.json, the recipe, and a README.md with
    the run's pictures and metrics. No code, no pickles.

    \b
    i2i export runs/stargan_v2-001 --to models/emoji
    """
    from dataclasses import replace

    from i2i.card import card
    from i2i_core.export import of_run
    from i2i_core.model import write

    model = replace(of_run(run, plugins, step, show), name=to.resolve().name)
    steps = model.config.training["steps"]
    pictures = {path.name.replace(f"step-{steps:08d}", "samples"): path.read_bytes()
                for path in sorted((run / "samples").glob(f"step-{steps:08d}-*.png"))}
    recipe = (run / "recipe.yaml").read_bytes()
    write(model, to, {"README.md": card(model, pictures).encode(), "recipe.yaml": recipe, **pictures}, overwrite)
    click.echo(to)
