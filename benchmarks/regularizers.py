"""Time that regularisers add to the forward and backward pass of the quick start's discriminator.

    OMP_NUM_THREADS=1 python -m benchmarks.regularizers

The results are medians of CPU time. Each round measures all of them, since the speed of a machine drifts.
"""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch import nn

from i2i_regularize.ada import ADA
from i2i_regularize.diffaugment import DiffAugment
from i2i_regularize.spectral import spectral_norm
from i2i_stargan_v2.networks import Discriminator

ROUNDS, BATCH, SIDE = 200, 4, 64


def milliseconds(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    start = time.process_time()
    network(x, y).sum().backward()
    return 1000 * (time.process_time() - start)


def main() -> None:
    plain = Discriminator(image_size=(SIDE, SIDE), num_domains=2, channel_base=1024, max_channels=64)
    ada = ADA(copy.deepcopy(plain))
    ada.p.fill_(0.5)
    networks = {
        "plain": plain,
        "spectral_norm": spectral_norm(copy.deepcopy(plain)),
        "diffaugment": DiffAugment(copy.deepcopy(plain)),
        "ada": ada,
    }
    x, y = torch.rand(BATCH, 3, SIDE, SIDE) * 2 - 1, torch.arange(BATCH) % 2
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(ROUNDS):
        for name, network in networks.items():
            times[name].append(milliseconds(network, x, y))
    medians = {name: statistics.median(found[ROUNDS // 10 :]) for name, found in times.items()}
    for name, median in medians.items():
        print(f"{name:14} {median:6.2f} ms  {median - medians['plain']:+.2f} ms")


if __name__ == "__main__":
    main()
