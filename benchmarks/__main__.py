"""The product beside a straightforward StarGAN v2, taking turns: python -m benchmarks VERB --size N [--masks] [--json]

    flops   an iteration's FLOPs
    train   an iteration's CPU seconds, wall seconds and peak memory

Every ratio is product ÷ baseline: smaller is better. benchmarks/README.md says what each side does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

VERBS = {"flops": "an iteration's FLOPs", "train": "an iteration's CPU seconds, wall seconds and peak memory"}


def result(verb: str, *, size: int, batch: int, masks: bool, blocks: int, threads: int) -> dict[str, Any]:
    """What was measured, how, and the figures of both sides with their ratio."""
    facts: dict[str, Any] = {"benchmark": verb, "size": size, "batch": batch, "masks": masks}
    if verb == "flops":
        from benchmarks import flops
        from benchmarks.case import Case

        return facts | flops.measure(Case(size, batch, masks))
    from benchmarks import train

    return facts | {"blocks": blocks, "threads": threads} | train.measure(
        size, batch, masks, blocks=blocks, threads=threads)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--size", type=int, default=256, help="pixels: 64, 128 or 256")
    parser.add_argument("--batch", type=int, help="pictures of a batch")
    parser.add_argument("--masks", action="store_true", help="CelebA-HQ's recipe with FAN's masks, else AFHQ's")
    parser.add_argument("--blocks", type=int, default=3, help="turns of each side, after one to warm up")
    parser.add_argument("--threads", type=int, help="of each side; the default is 2 for train, else 1")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    found = result(options.verb, size=options.size, batch=options.batch or 2, masks=options.masks,
                   blocks=options.blocks, threads=options.threads or 2)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
