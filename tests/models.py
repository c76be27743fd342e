"""Models as recipes start them, and pictures as they see them and make them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from i2i.translator import Translator
from i2i_core.data.formats.picture import Picture
from i2i_core.models.from_run import of_recipe
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

SIZE = 32


def untrained(recipe: str, *sets: str, files: tuple[Path, ...] = ()) -> Translator:
    """The model that a recipe starts from."""
    plugins = discover(files=files)
    checked = load(recipe, [*sets, "hooks.true_pairs=null", "seed=1"], plugins)
    run = Run(checked, make_accelerator("fp32"), None)
    run.start()
    states = {name: network.state_dict() for name, network in run.networks.items()}
    about = run.data.described()
    model = of_recipe(checked, about["domains"], states, plugins, "tiny", layouts=about["layouts"])
    return Translator(model, plugins, torch.device("cpu"))


def tensor(*pictures: Image.Image) -> torch.Tensor:
    """Of the tiny run's size, (N, 3, 32, 32) uint8."""
    return torch.stack([Picture().fit(p, (SIZE, SIZE)) for p in pictures])


def pixels(picture: Image.Image) -> np.ndarray:
    """Numbers that may be subtracted."""
    return np.asarray(picture).astype(int)
