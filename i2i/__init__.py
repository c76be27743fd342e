"""Trained models in use.

    model = i2i.load("models/emoji")
    model(picture, domain="line_art", seed=3).save("line_art.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from i2i_core import __version__

if TYPE_CHECKING:
    from i2i.loading import load
    from i2i.translator import Sources, Style, Translator

__all__ = ["Sources", "Style", "Translator", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from i2i import loading, translator  # which import torch

        return getattr(loading if name == "load" else translator, name)
    raise AttributeError(f"module i2i has no attribute {name}")
