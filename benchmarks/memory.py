"""Peak memory of an iteration with each switch that saves some: predicted, and measured where asked.

    python -m benchmarks.memory [--size 256] [--batch 8] [--masks] [--measure] [--json]

StarGAN v2 at the paper's widths, with or without masks, on the pictures of the quick start. `baseline` is the recipe as
it is, `product` every switch, `ratio` product over baseline. --measure trains one iteration for real, each in a process
of its own, and gives what that process then takes more than before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from rich.filesize import decimal

from i2i_cli.memory_advice import Switches, switches
from i2i_core.plan.check import load
from i2i_core.plan.checked import Checked
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator, peak_of_process
from i2i_core.training.peak_memory import LiveStorages, iterate, predicted_peak
from i2i_core.training.run import Run


def checked(size: int, batch: int, masks: bool, chosen: Sequence[str] = ()) -> Checked:
    data = f"data={{use: emoji/drawings, image_size: {size}, batch_size: {batch}}}"
    skip = [
        "networks.generator.skip={use: fan_mask/high_pass, sizes: [32, 64, 128]}",
        "tensors.masks={use: fan_mask/everywhere, of: x_real}",
        "tensors.fake_masks={use: fan_mask/everywhere, of: x_fake}",
    ]
    quiet = [f"hooks.{name}=null" for name in ("progress", "checkpoint", "latent", "reference")]
    return load("stargan_v2_afhq.yaml", [data, *quiet, *(skip if masks else ()), *chosen], discover())


def rows(size: int, batch: int, masks: bool) -> list[Switches]:
    families = switches(checked(size, batch, masks).recipe)
    return [(), *((switch,) for family in families for switch in family), tuple(family[-1] for family in families)]


def measured(*options: str) -> dict[str, int]:
    """In a process of its own: bytes of its tensors at a time, and of its memory over what it had before."""
    code = f"from benchmarks.memory import spend; spend({options!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def spend(options: Sequence[str]) -> None:
    size, batch, masks, *chosen = options
    recipe = checked(int(size), int(batch), bool(masks), chosen)
    run = Run(recipe, make_accelerator(recipe.recipe.precision), None)
    parameters = sum(p.nbytes for network in run.networks.values() for p in network.parameters())
    before = peak_of_process() - parameters
    with LiveStorages() as tracker:
        for network in run.networks.values():
            tracker.counted([*network.parameters(), *network.buffers()])
        iterate(run)
    print(json.dumps({"tensors": tracker.peak["cpu"], "process": peak_of_process() - before}))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=8, help="samples of an iteration")
    parser.add_argument("--masks", action="store_true", help="with the skip under masks")
    parser.add_argument("--measure", action="store_true", help="train an iteration for real, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    recipe = (options.size, options.batch, options.masks)
    found: dict[str, dict[str, Any]] = {}
    for chosen in rows(*recipe):
        name = " ".join(chosen) or "as is"
        found[name] = {"predicted": predicted_peak(checked(*recipe, chosen))}
        if options.measure:
            found[name] |= measured(str(options.size), str(options.batch), "masks" * options.masks, *chosen)
    peaks = [figures["predicted"] for figures in found.values()]
    if options.json:
        ends = {"baseline": peaks[0], "product": peaks[-1], "ratio": peaks[-1] / peaks[0]}
        print(json.dumps(ends | {"switches": found}))
        return 0
    print("| switch | predicted |" + " tensors of a real iteration | process |" * options.measure)
    print("|---|---|" + "---|---|" * options.measure)
    for name, figures in found.items():
        print(f"| {name} | {' | '.join(map(decimal, figures.values()))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
