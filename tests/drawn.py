"""Small models of every format, made of drawings: a plugin in one file, and its recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

PLUGIN = '''
"""Drawings as photos, label maps and rasters, with masks and numbers."""
import numpy as np
from PIL import Image
from torch import nn

from i2i_core import hookimpl
from i2i_core.data.formats.labels import Labels, Mask
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.data.formats.raster import Raster

FORMATS = {
    "labels": Labels(classes=3, palette=((0, 0, 0), (200, 30, 30), (30, 90, 220))),
    "bands": Raster(channels=4, range=(0, 10000)),
    "photos": Picture(),
    "drawings": Picture(),
}


@hookimpl
def i2i_components(registry):
    registry.method("method", "drawn")
    registry.dataset("records", "drawn:Records")
    registry.network("mix", "drawn:make_mix")


class Records:
    """Rectangles in a source and a target domain."""

    paired, sizes = True, {}
    fields = {"mask": Mask(), "about": Numbers(names=("light", "warmth"), range=(-1, 1))}

    def __init__(self, *, domains: list[str]):
        self.domains = domains
        self.formats = {name: FORMATS[name] for name in domains}

    def count(self, domain):
        return 2

    def record(self, domain, index, wanted, rng):
        ids = np.zeros((16, 24), np.uint8)
        ids[2:9, 3 + index : 12] = 1
        ids[7:14, 14:22] = 2
        x = {
            "labels": lambda: Image.fromarray(ids),
            "bands": lambda: np.stack([1000 * ids.astype(int) + band for band in range(4)], 2).astype(np.uint16),
        }.get(self.domains[domain], lambda: Image.fromarray(100 * ids).convert("RGB"))()
        record = {"x": x, "mask": Image.fromarray(255 * (ids > 0).astype(np.uint8)), "about": {"light": 0, "warmth": 0}}
        return {name: record[name] for name in wanted}


def make_mix(*, source_channels: int, target_channels: int):
    """A convolution with one colour for each class, or a copy."""
    return nn.Conv2d(source_channels, target_channels, 1)


def x_fake(mix, x_real):
    return mix(x_real)


def x_masked(x_real, mask_real):
    return x_real * (1 - 2 * mask_real)


def x_back(x_ref):
    return -x_ref


def x_tuned(x_real, about_real):
    return x_real + about_real[:, 0, None, None, None] - 0.5
'''
RECIPE = """
i2i: 1
steps: 2
method: drawn/method
data: {use: drawn/records, domains: [SOURCE, TARGET], targets: {SOURCE: TARGET}, image_size: [16, 24], batch_size: 2}
networks: {mix: drawn/mix}
losses: {all: {near: {use: l1, input: x_fake, target: x_pair}}}
phases: {learn: {train: mix, losses: all}}
uses: USES
"""
USES = {
    "plain": "{plain: {}}",
    "all": "{plain: {}, retouch: {show: x_masked}, tune: {show: x_tuned}, back: {show: x_back, source: x_ref}}",
    "retouch": "{retouch: {show: x_masked}}",
}


def written(folder: Path, source: str, target: str, uses: str = "plain") -> tuple[Path, Path]:
    """Write the plugin and a recipe; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    plugin, recipe = folder / "drawn.py", folder / f"{source}-{target}.yaml"
    plugin.write_text(PLUGIN)
    text = RECIPE.replace("SOURCE", source).replace("TARGET", target).replace("USES", USES[uses])
    recipe.write_text(text.lstrip())
    return plugin, recipe


def trained(call: Callable[..., Any], folder: Path, *names: str) -> tuple[Path, Path]:
    """Train for two steps; returns the run and the plugin."""
    plugin, recipe = written(folder, *names)
    answer = call("train", "--recipe", recipe, "--run-dir", recipe.with_suffix(""), "--plugin", plugin)
    assert answer.code == 0, answer.err
    return recipe.with_suffix(""), plugin
