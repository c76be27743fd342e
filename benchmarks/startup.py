"""Startup time: `i2i train` of the quick start for one step, against importing torch and building the same networks.

Each measurement covers a whole process, from start to end. The run has one step, and hooks that print, draw and save
are disabled. The baseline builds the networks and does not train.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.sides import Figures, with_ratio

ROOT = Path(__file__).parents[1]
QUIET = ("progress", "metrics", "checkpoint", "latent", "reference", "true_pairs")


def measure(size: int, batch: int, changes: Sequence[str] = (), *, blocks: int, threads: int) -> Figures:
    """Measure CPU and wall seconds of both sides: medians of `blocks` runs, after one that fills the disk cache."""
    widths = f"channel_base={16 * size}, max_channels=64"
    sets = [
        "steps=1",
        f"data.image_size={size}",
        f"data.batch_size={batch}",
        *(
            f"networks.{network}.channel_base={16 * size}"
            for network in ("generator", "style_encoder", "discriminator")
        ),
        *(f"hooks.{name}=null" for name in QUIET),
        *changes,
    ]
    commands = {
        "baseline": ["-c", f"from benchmarks.baseline.networks import build; build({size}, 2, masked=True, {widths})"],
        "product": [
            "-m",
            "i2i_cli",
            "train",
            "--recipe",
            "stargan_v2.yaml",
            "--run-dir",
            "RUN",
            *(word for change in sets for word in ("--set", change)),
        ],
    }
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in commands}
    for _ in range(blocks + 1):
        for side, words in commands.items():
            with TemporaryDirectory() as folder:
                run = str(Path(folder) / "run")
                times[side].append(seconds([run if word == "RUN" else word for word in words], threads))
    found: Figures = {}
    for side, measured in times.items():
        cpu, wall = (statistics.median(clock) for clock in zip(*measured[1:], strict=True))
        found[side] = {"cpu_seconds": cpu, "wall_seconds": wall}
    return with_ratio(found)


def seconds(words: Sequence[str], threads: int) -> tuple[float, float]:
    """Return CPU (0 on Windows) and wall seconds of a Python process and its children; raises CalledProcessError."""
    started, before = time.perf_counter(), os.times()
    subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    return sum(os.times()[2:4]) - sum(before[2:4]), time.perf_counter() - started
