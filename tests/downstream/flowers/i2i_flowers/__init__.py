"""A stranger's plugin that is right; tests build it with one thing wrong."""

from pathlib import Path

from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.method("method", "i2i_flowers.method")
    registry.dataset("meadow", "i2i_flowers.parts:Meadow")
    registry.network("tint", "i2i_flowers.parts:Tint")
    registry.loss("darker", "i2i_flowers.parts:darker")
    registry.hook("count", "i2i_flowers.parts:Count")


@hookimpl
def i2i_recipes():
    return Path(__file__).parent
