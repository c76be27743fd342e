"""The subcommand `i2i export`."""

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


@subcommand
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", required=True, help="The folder to write.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["model", "onnx", "torch-export"]),
    default="model",
    show_default=True,
    help="The format: a model for i2i, or ONNX or torch.export files. For these, RUN may also be a model.",
)
@click.option("--step", type=int, metavar="N", help="The step of the checkpoint. The default is the newest one.")
@click.option(
    "--show", metavar="TENSOR", help="The tensor that is the result. The default is that of the recipe's uses."
)
@with_overwrite
@with_plugins
def export(
    plugins: Plugins,
    run: Path,
    to: Path,
    kind: ProgramFormat | Literal["model"],
    step: int | None,
    show: str | None,
    overwrite: bool,
) -> None:
    """Export a model from RUN to a folder.

    The folder contains the EMA weights as safetensors, config.json, the recipe, and a README.md with the pictures and
    metrics of the run. It contains no code and no pickles.

    With --as onnx or --as torch-export, the folder contains files that onnxruntime or torch can run without i2i, and
    model.json, which describes their inputs, outputs and order.

    \b
    i2i export runs/stargan_v2-001 --to models/emoji
    i2i export runs/stargan_v2-001 --to emoji-onnx --as onnx
    """
    from i2i.exporting import export as write_model

    if kind != "model":
        _export_program(plugins, run, to, kind, step, show, overwrite)
        return
    write_model(run, to, plugins, step, show, overwrite)
    click.echo(to)


def _export_program(
    plugins: Plugins, run: Path, to: Path, kind: ProgramFormat, step: int | None, show: str | None, overwrite: bool
) -> None:
    import torch

    from i2i.loading import find
    from i2i.program_export import write
    from i2i.translator import Translator
    from i2i_core.errors import UsageError
    from i2i_core.models.folder import CONFIG
    from i2i_core.models.from_run import of_run

    as_found = step is None and show is None
    if not as_found and (run / CONFIG).is_file():
        raise UsageError(
            f"{run} is a model, whose step and tensor are fixed; leave --step and --show out, or name a run"
        )
    made = find(run, plugins) if as_found else of_run(run, plugins, step, show)
    model = Translator(made, plugins, torch.device("cpu"))

    def each(parts: list[ProgramPart]) -> Iterator[ProgramPart]:
        with progress(len(parts), "exporting") as advance:
            for part in parts:
                yield part
                advance()

    write(model, to, kind, overwrite, each)
    click.echo(to)
