"""Exporting a run as a model: its folder with card, recipe and pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from i2i.card import card
from i2i.translator import Translator
from i2i_core.errors import UsageError
from i2i_core.models.folder import CARD, CONFIG, RECIPE, write
from i2i_core.models.from_run import of_run
from i2i_core.registry.plugins import Plugins


def export(
    run: Path, to: Path, plugins: Plugins, step: int | None = None, show: str | None = None, overwrite: bool = False
) -> None:
    """Write the model of a run to the folder `to`.

    step: the step of the checkpoint; None for the newest valid one. show: the tensor that is the result, if not that of
    the recipe's uses. Raises an I2IError if the run has no usable model, or if the folder cannot be written.
    """
    if (run / CONFIG).is_file():
        raise UsageError(f"{run} is already a model; copy its folder, or choose another format with --as")
    model = replace(of_run(run, plugins, step, show), name=to.resolve().name)
    translator = Translator(model, plugins, torch.device("cpu"))
    translator.try_out()
    steps = model.config.training["steps"]
    pictures = {
        path.name.replace(f"step-{steps:08d}", "samples"): path.read_bytes()
        for path in sorted((run / "samples").glob(f"step-{steps:08d}-*.png"))
    }
    recipe = (run / RECIPE).read_bytes()
    write(model, to, {CARD: card(translator, pictures).encode(), RECIPE: recipe, **pictures}, overwrite)
