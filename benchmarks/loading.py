"""Speed of data loading in one process: seconds per picture from files to a batch in [-1, 1] on the device.

JPEG files of 512 px are cropped at random, resized and mirrored at random, as in StarGAN v2. The baseline uses
torchvision's ImageFolder and transforms with a DataLoader. The product uses the batches of a run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.sides import Figures, Turn, Work, alternate

SIDE, PER_DOMAIN, BATCH = 512, 32, 8
PICTURES = 96
"""Pictures of a block: 12 batches of the baseline, or 4 of the product, whose samples have three pictures each."""


def photo(rng: np.random.Generator, side: int = SIDE) -> Image.Image:
    """Create noise with the spectrum of a photograph; it has about 125 kB as a JPEG of quality 95."""
    picture = np.zeros((side, side, 3), np.float32)
    cells = 4
    while cells <= side:
        noise = rng.standard_normal((3, cells, cells)).astype(np.float32) / cells**0.5
        layers = [Image.fromarray(layer).resize((side, side), Image.Resampling.BICUBIC) for layer in noise]
        picture += np.stack([np.asarray(layer) for layer in layers], axis=-1)
        cells *= 2
    return Image.fromarray((picture / picture.std() * 55 + 128).clip(0, 255).astype(np.uint8))


def measure(size: int, sets: Sequence[str] = (), *, blocks: int, threads: int) -> Figures:
    """Measure the seconds per picture of `size` px."""
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as name:
        for domain in ("cat", "dog", "wild"):
            (Path(name) / "photos" / domain).mkdir(parents=True)
            for n in range(PER_DOMAIN):
                photo(rng).save(Path(name) / "photos" / domain / f"{n}.jpg", quality=95)
        figures = alternate(
            {"baseline": Turn(_baseline, PICTURES), "product": Turn(_product, PICTURES)},
            (size, name, sets),
            blocks=blocks,
            threads=threads,
        )
    return {
        side: {clock: measures[clock] for clock in ("cpu_seconds", "wall_seconds")}
        for side, measures in figures.items()
    }


def _baseline(size: int, folder: str, _: Sequence[str]) -> Work:
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    crop = transforms.RandomResizedCrop(size, scale=(0.8, 1.0), ratio=(0.9, 1.1))
    transform = transforms.Compose(
        [
            transforms.RandomApply([crop], p=0.5),
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    pictures = ImageFolder(f"{folder}/photos", transform)

    def work() -> None:
        batches = iter(DataLoader(pictures, BATCH, shuffle=True))
        for _ in range(PICTURES // BATCH):
            next(batches)

    return work


def _product(size: int, folder: str, sets: Sequence[str]) -> Work:
    from i2i_core.plan.check import load
    from i2i_core.registry.plugins import discover
    from i2i_core.training.compute import make_accelerator
    from i2i_core.training.run import Run

    os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"  # a temporary cache, deleted after the benchmark
    narrow = [f"networks.{network}.channel_base={size}" for network in ("generator", "style_encoder", "discriminator")]
    given = [
        f"data.root={folder}/photos",
        "data.validation=null",
        "data.workers=0",
        f"data.image_size={size}",
        f"data.batch_size={BATCH}",
        *narrow,
    ]
    run = Run(load("stargan_v2_afhq.yaml", [*given, *sets], discover()), make_accelerator("fp32"), None)
    batches = run.batches()

    def work() -> None:
        for _ in range(PICTURES // (3 * BATCH)):
            next(batches)

    return work
