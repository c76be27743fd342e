"""`i2i export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from .common import subcommand, with_overwrite, with_plugins
from .using import progress

if TYPE_CHECKING:
    from i2i.program_export import ProgramFormat
    from i2i.program_parts import ProgramPart
    from i2i_core.registry.plugins import Plugins

SHOW = "x_fake"


@subcommand
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", required=True, help="The model's folder.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["model", "onnx", "torch-export"]),
    default="model",
    show_default=True,
    help="For i2i, or as files for programs without it; then RUN may be a model, too.",
)
@click.option("--step", type=int, metavar="N", help="Of which checkpoint; the default is the newest.")
@click.option("--show", default=SHOW, metavar="TENSOR", show_default=True, help="Which tensor is the translation.")
@with_overwrite
@with_plugins
def export(
    plugins: Plugins,
    run: Path,
    to: Path,
    kind: ProgramFormat | Literal["model"],
    step: int | None,
    show: str,
    overwrite: bool,
) -> None:
    """Make a model of a run: a folder to use, copy and share.

    It holds what a translation needs: averaged weights as safetensors, config.json, the recipe, and a README.md with
    the run's pictures and metrics. No code, no pickles.

    With --as, files for onnxruntime or torch instead, and a model.json that says how to use them without i2i.

    \b
    i2i export runs/stargan_v2-001 --to models/emoji
    i2i export runs/stargan_v2-001 --to emoji-onnx --as onnx
    """
    from dataclasses import replace

    import torch

    from i2i.card import card
    from i2i.translator import Translator
    from i2i_core.errors import UsageError
    from i2i_core.models.folder import CONFIG, write
    from i2i_core.models.from_run import of_run

    if kind != "model":
        _for_elsewhere(plugins, run, to, kind, step, show, overwrite)
        return
    if (run / CONFIG).is_file():
        raise UsageError(f"{run} is a model already; copy its folder, or name what it is to become with --as")
    model = replace(of_run(run, plugins, step, show), name=to.resolve().name)
    Translator(model, plugins, torch.device("cpu")).try_out()
    steps = model.config.training["steps"]
    pictures = {
        path.name.replace(f"step-{steps:08d}", "samples"): path.read_bytes()
        for path in sorted((run / "samples").glob(f"step-{steps:08d}-*.png"))
    }
    recipe = (run / "recipe.yaml").read_bytes()
    write(model, to, {"README.md": card(model, pictures).encode(), "recipe.yaml": recipe, **pictures}, overwrite)
    click.echo(to)


def _for_elsewhere(
    plugins: Plugins, run: Path, to: Path, kind: ProgramFormat, step: int | None, show: str, overwrite: bool
) -> None:
    import torch

    from i2i.loading import find
    from i2i.program_export import write
    from i2i.translator import Translator
    from i2i_core.errors import UsageError
    from i2i_core.models.folder import CONFIG
    from i2i_core.models.from_run import of_run

    as_found = step is None and show == SHOW
    if not as_found and (run / CONFIG).is_file():
        raise UsageError(f"{run} is a model, whose step and tensor are chosen; --step and --show are for a run")
    made = find(run, plugins) if as_found else of_run(run, plugins, step, show)
    model = Translator(made, plugins, torch.device("cpu"))

    def each(parts: list[ProgramPart]) -> Iterator[ProgramPart]:
        with progress(len(parts), "exporting") as advance:
            for part in parts:
                yield part
                advance()

    write(model, to, kind, overwrite, each)
    click.echo(to)
