"""Image-to-image GANs: train a recipe, and translate pictures with the model.

run = i2i.train("stargan_v2.yaml")
model = run.model()
model("photo.png", domain="high_contrast", seed=3).save("line_art.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from i2i_core import __version__

if TYPE_CHECKING:
    from i2i.loading import load
    from i2i.runs import TrainedRun, load_run, train
    from i2i.style import Style
    from i2i.translator import Sources, Translator

_HOMES = {
    "load": "loading",
    "train": "runs",
    "load_run": "runs",
    "TrainedRun": "runs",
    "Sources": "translator",
    "Style": "style",
    "Translator": "translator",
}
"""The module of each name. It is imported when the name is first used, because it imports torch."""

__all__ = ["Sources", "Style", "TrainedRun", "Translator", "__version__", "load", "load_run", "train"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"i2i.{_HOMES[name]}"), name)
    raise AttributeError(f"module i2i has no attribute {name}")


def __dir__() -> list[str]:
    return __all__
