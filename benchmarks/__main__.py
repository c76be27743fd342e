"""Benchmarks of i2i (product) against a straightforward StarGAN v2 (baseline): python -m benchmarks BENCHMARK

    flops   FLOPs of an iteration
    train   CPU seconds, wall seconds and peak memory of an iteration
    infer   seconds of a translation, per picture and per style of one picture
    load    seconds per picture from JPEG files to a batch
    labels  seconds per label map from PNG files to a one-hot batch
    bands   seconds per raster of 13 channels from 16-bit TIFF files to a batch
    start   seconds from the start of a process to the end of its first step

    quick   a selection, in ten minutes on two idle cores; written to results.json and README.md
    full    all at 64, 128 and 256 px, with and without masks; written to results.json and README.md
    table   write the table of README.md from results.json

A ratio is product ÷ baseline; smaller is better. benchmarks/README.md describes both sides.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks import report
from i2i_core.errors import I2IError

BATCH = {"flops": 8, "train": 2, "infer": 1, "load": 8, "labels": 8, "bands": 8, "start": 1}
SIZE, THREADS = {"start": 64}, {"train": 2}
"""Default sizes other than 256 px, and default numbers of threads other than 1."""
QUICK = (
    "flops",
    "flops --masks",
    "train --blocks 1",
    "train --masks --blocks 1",
    "train --size 64 --batch 8 --blocks 1",
    "infer --blocks 2",
    "load",
    "load --set data.cache=256",
    "labels",
    "bands",
    "bands --set data.cache=256",
    "start",
)
BATCHES = {256: 2, 128: 4, 64: 8}
"""Batch sizes of training by picture size in `full`, of about equal work."""
FULL = (
    *(f"{verb} --size {size}{masks}" for verb in ("flops", "infer") for size in BATCHES for masks in ("", " --masks")),
    *(
        f"train --size {size} --batch {batch}{masks} --blocks 2"
        for size, batch in BATCHES.items()
        for masks in ("", " --masks")
    ),
    *(f"load --size {size}{cache}" for size in BATCHES for cache in ("", f" --set data.cache={size}")),
    "start",
)


def result(
    verb: str, size: int | None, batch: int | None, masks: bool, blocks: int, threads: int | None, sets: Sequence[str]
) -> dict[str, Any]:
    """Run a benchmark and return its settings, the date, and the figures of both sides with their ratio."""
    size, batch = size or SIZE.get(verb, 256), batch or BATCH[verb]
    turns = {"blocks": blocks, "threads": threads or THREADS.get(verb, 1)}
    facts: dict[str, Any] = {
        "benchmark": verb,
        "size": size,
        "batch": batch,
        "masks": masks,
        "sets": list(sets),
        "date": datetime.now(UTC).date().isoformat(),
    }
    # Imported where they are used: a process that starts other processes must not import torch.
    if verb == "flops":
        from benchmarks import flops
        from benchmarks.case import Case

        return facts | flops.measure(Case(size, batch, masks, sets))
    from benchmarks import infer, loading, loading_formats, startup, train

    measured = {
        "train": lambda: train.measure(size, batch, masks, sets, **turns),
        "infer": lambda: infer.measure(size, masks, sets, **turns),
        "load": lambda: loading.measure(size, sets, **turns),
        "labels": lambda: loading_formats.measure("labels", size, sets, **turns),
        "bands": lambda: loading_formats.measure("bands", size, sets, **turns),
        "start": lambda: startup.measure(size, batch, sets, **turns),
    }[verb]()
    return facts | turns | measured


def positive(text: str) -> int:
    """Parse an integer of at least 1; argparse reports the ValueError."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=[*BATCH, "quick", "full", "table"])
    parser.add_argument("--size", type=positive, help="pixels of a side, a power of two from 32 (256; 64 for start)")
    parser.add_argument(
        "--batch",
        type=positive,
        help=f"pictures in a batch ({BATCH['flops']} for flops, "
        f"{BATCH['train']} for train, {BATCH['start']} for start)",
    )
    parser.add_argument("--masks", action="store_true", help="use CelebA-HQ's recipe with masks from FAN, not AFHQ's")
    parser.add_argument("--blocks", type=positive, default=3, help="blocks of each side, after a warm-up block (3)")
    parser.add_argument("--threads", type=positive, help="threads of each side (2 for train, else 1)")
    parser.add_argument(
        "--set", action="append", default=[], dest="sets", metavar="A.B=VALUE", help="change the recipe of the product"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.verb == "table":
        report.README.write_text(report.readme())
        return 0
    if options.verb in BATCH:
        try:
            found = [result(**{name: value for name, value in vars(options).items() if name != "json"})]
        except I2IError as error:
            parser.error(str(error))
    else:
        found = list(suite(QUICK if options.verb == "quick" else FULL))
    if options.json:
        print(json.dumps(found[0] if options.verb in BATCH else found))
    else:
        report.show(found)
    return 0


def suite(commands: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run each benchmark in its own process, and save and yield the results."""
    for command in commands:
        print(f"{datetime.now():%H:%M:%S}  {command}", file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", *command.split(), "--json"],
            check=True,
            stdout=subprocess.PIPE,
            cwd=report.HERE.parent,
        )
        found = json.loads(done.stdout)
        report.save(found)
        report.README.write_text(report.readme())
        yield found


if __name__ == "__main__":
    sys.exit(main())
