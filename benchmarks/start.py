"""What starting costs: `i2i train` until its first iteration, against importing torch and building the networks.

    python -m benchmarks.start [--size N] [--rounds R] [--json]

Fresh processes take turns; the figures are medians. --size 64 is the quick start as it is, any other its data at that
size, one sample a batch, with networks at the paper's widths. `first_step` is what the first iteration then adds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, float]
BUILD = """
import json, sys
import torch
from i2i_stargan_v2.networks import Discriminator, Generator, MappingNetwork, StyleEncoder
from i2i_fan_mask.components import HighPass
size, widths = json.loads(sys.argv[1])
facts = {"image_size": (size, size), **widths}
networks = [Generator(skip=HighPass(sizes=[8, 16, 32]), **facts), MappingNetwork(num_domains=2),
            *(network(num_domains=2, **facts) for network in (StyleEncoder, Discriminator))]
from benchmarks.start import said
print(json.dumps(said()))
"""


class Mark:
    """A hook that says when the first iteration begins and when it is done, and ends the process."""

    def before_phase(self) -> None:
        self.begins = getattr(self, "begins", said())

    def after_step(self) -> None:
        done = {f"{name}_first_step": value - self.begins[name] for name, value in said().items()}
        print(json.dumps(self.begins | done), flush=True)
        os._exit(0)

    def state_dict(self) -> dict[str, Any]:
        """Hooks with a state hear an event before those that draw and save."""
        return {}


def said() -> Figures:
    """CPU and wall-clock seconds since this process began."""
    return {"cpu_s": time.process_time(), "wall_s": time.monotonic() - float(os.environ["BENCHMARK_STARTED"])}


def run(*command: str) -> Figures:
    environment = os.environ | {"BENCHMARK_STARTED": str(time.monotonic()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(size: int = 64, rounds: int = 5) -> dict[str, Figures]:
    """Medians of `baseline` and `product`, and their `ratio`; the first round only warms the disk's cache."""
    base, most = (1024, 64) if size == 64 else (16384, 512)
    widths = {"channel_base": base, "max_channels": most}
    sets = [f"data.image_size={size}", f"data.batch_size={4 if size == 64 else 1}", "hooks.mark=start/mark", *(
        f"networks.{name}.{key}={value}" for name in ("generator", "style_encoder", "discriminator")
        for key, value in widths.items())]
    baseline, product = list[Figures](), list[Figures]()
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "start.py"
        plugin.write_text("from i2i_core import hookimpl\n\n@hookimpl\ndef i2i_components(registry):\n"
                          "    registry.hook('mark', 'benchmarks.start:Mark')\n")
        train = ["-m", "i2i_cli", "train", "--recipe", "stargan_v2.yaml", "--plugin", str(plugin)]
        for number in range(rounds + 1):
            run_dir = ["--run-dir", f"{folder}/{number}"]
            baseline.append(run("-c", BUILD, json.dumps([size, widths])))
            product.append(run(*train, *run_dir, *(word for change in sets for word in ("--set", change))))
    medians: list[dict[str, float]] = [{name: statistics.median(found[name] for found in all_found[1:])
                                        for name in all_found[0]} for all_found in (baseline, product)]
    return {"baseline": medians[0], "product": medians[1],
            "ratio": {name: medians[1][name] / value for name, value in medians[0].items()}}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = measure(options.size, options.rounds)
    if options.json:
        print(json.dumps(found))
    else:
        for unit in ("cpu_s", "wall_s"):
            print(f"{unit}: {found['product'][unit]:.2f} to the first iteration, torch and networks alone "
                  f"{found['baseline'][unit]:.2f}: {found['ratio'][unit]:.2f}; "
                  f"the first iteration {found['product'][f'{unit}_first_step']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
