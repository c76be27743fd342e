"""Speed of loading label maps and rasters in one process: seconds per file, to a batch on the device.

labels: indexed PNGs of 512 px with 34 classes, cropped at random, resized to one-hot labels and mirrored at random. The
baseline uses torchvision's transforms with the nearest pixel, and one_hot.
bands: 16-bit TIFFs of 13 channels and 256 px, cropped, resized, mirrored and scaled to [-1, 1]. The baseline uses
tifffile and torchvision's transforms on tensors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image
from torch import Tensor

from benchmarks.sides import Figures, Turn, Work, alternate

CLASSES, CHANNELS, TOP = 34, 13, 10_000
FILES, BATCH = 32, 8
LOADED = 64
"""Files of a block."""
SIDES = {"labels": 512, "bands": 256}
Given = tuple[str, int, str, Sequence[str]]
"""The kind of files, their size, their folder, and changes to the data of the product."""


def measure(kind: str, size: int, sets: Sequence[str] = (), *, blocks: int, threads: int) -> Figures:
    """Measure the seconds per file of `size` px."""
    with TemporaryDirectory() as name:
        write(kind, Path(name) / "files" / kind)
        turns = {"baseline": Turn(_baseline, LOADED), "product": Turn(_product, LOADED)}
        figures = alternate(turns, (kind, size, name, sets), blocks=blocks, threads=threads)
    return {side: {clock: of[clock] for clock in ("cpu_seconds", "wall_seconds")} for side, of in figures.items()}


def write(kind: str, folder: Path) -> None:
    """Write files of smooth noise."""
    rng, side = np.random.default_rng(0), SIDES[kind]
    folder.mkdir(parents=True)
    for n in range(FILES):
        cells = rng.random((CHANNELS if kind == "bands" else 1, side // 16, side // 16)).astype(np.float32)
        layers = [np.asarray(Image.fromarray(cell).resize((side, side), Image.Resampling.BICUBIC)) for cell in cells]
        smooth = np.stack(layers, axis=2).clip(0, 0.999)
        if kind == "labels":
            Image.fromarray((smooth[..., 0] * CLASSES).astype(np.uint8)).save(folder / f"{n}.png")
        else:
            bands = (smooth * TOP).astype(np.uint16)
            tifffile.imwrite(folder / f"{n}.tif", bands, photometric="minisblack", planarconfig="contig")


def _baseline(kind: str, size: int, folder: str, _: Sequence[str]) -> Work:
    from torch.utils.data import DataLoader
    from torchvision.transforms import InterpolationMode, v2

    how = InterpolationMode.NEAREST if kind == "labels" else InterpolationMode.BILINEAR
    crop = v2.RandomResizedCrop(size, scale=(0.8, 1.0), ratio=(0.9, 1.1), interpolation=how, antialias=kind == "bands")
    resize = v2.Resize((size, size), interpolation=how, antialias=kind == "bands")
    transform = v2.Compose([v2.RandomApply([crop], p=0.5), resize, v2.RandomHorizontalFlip()])
    paths = sorted((Path(folder) / "files" / kind).iterdir())

    def labels(path: Path) -> Tensor:
        ids = torch.from_numpy(np.array(transform(Image.open(path)))).long()
        return torch.nn.functional.one_hot(ids, CLASSES).permute(2, 0, 1).float()

    def bands(path: Path) -> Tensor:
        numbers = torch.from_numpy(tifffile.imread(path).astype(np.float32)).permute(2, 0, 1)
        return transform(numbers) / (TOP / 2) - 1  # type: ignore[no-any-return]  # torchvision gives no types

    read: Callable[[Path], Tensor] = labels if kind == "labels" else bands

    class Files:
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, number: int) -> Tensor:
            return read(paths[number])

    files: Any = Files()

    def work() -> None:
        for _ in range(LOADED // FILES):
            for _ in DataLoader(files, BATCH, shuffle=True):
                pass

    return work


def _product(kind: str, size: int, folder: str, sets: Sequence[str]) -> Work:
    from i2i_core.data.batches import Samples, loader, to_device
    from i2i_core.data.cache import cache_of
    from i2i_core.data.sets import build_data
    from i2i_core.plan.check import load
    from i2i_core.registry.plugins import discover

    os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"  # a temporary cache, deleted after the benchmark
    form = {
        "labels": f"{{use: labels, classes: {CLASSES}}}",
        "bands": f"{{use: raster, channels: {CHANNELS}, range: [0, {TOP}]}}",
    }[kind]
    given = [
        f"data={{use: image_folders, root: {folder}/files, image_size: {size}, batch_size: {BATCH}}}",
        f"data.domains={{{kind}: {{format: {form}}}}}",
        f"data.targets={{{kind}: {kind}}}",
        "hooks.true_pairs=null",
        *sets,
    ]
    recipe = (checked := load("stargan_v2.yaml", given, discover())).recipe
    data, wanted = build_data(checked), {"x_real"}
    samples = Samples(data.train, wanted, recipe.data, 0, cache_of(data.train, recipe, wanted))

    def work() -> None:
        steps = LOADED // BATCH
        for batch in loader(samples, start=0, steps=steps, batch_size=BATCH, rank=0, world=1, workers=0):
            to_device(batch, data.layouts, torch.device("cpu"), torch.float32)

    return work
