"""Measurement of product and baseline in separate processes that take turns.

The speed of a machine drifts, so blocks of work alternate. Each side has its own process, so that its peak memory can
be measured. The parent process does not import torch, because a child inherits its parent's peak memory.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

SIDES = ("baseline", "product")
Work = Callable[[], object]
Figures = dict[str, dict[str, float]]
"""Values of measures by name, for each side and for `ratio`."""


@dataclass(frozen=True)
class Turn:
    """Block of work of one side.

    build: function that creates the work, called in the child process.
    per: divisor of the seconds.
    """

    build: Callable[..., Work]
    per: int = 1


def alternate(turns: dict[str, Turn], arguments: tuple[Any, ...], *, blocks: int, threads: int) -> Figures:
    """Measure the sides in turn; return medians of CPU and wall seconds over `blocks` blocks, and peak memory in GB.

    turns: the work of each side. A warm-up block of each side is not counted. The memory is that of the process, or
        that of the GPU if there is one.
    """
    context = multiprocessing.get_context("spawn")
    # torch in the children reads both. Waiting threads must not spin, since that would count as CPU time.
    os.environ |= {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "10000"}
    pipes: dict[str, Connection] = {}
    children = []
    for side, turn in turns.items():
        pipes[side], theirs = context.Pipe()
        children.append(context.Process(target=_serve, args=(theirs, turn.build, arguments, threads), daemon=True))
        children[-1].start()
        theirs.close()  # otherwise recv would wait forever for a child that failed
    seconds: dict[str, list[tuple[float, float]]] = {side: [] for side in turns}
    for block in range(blocks + 1):
        for side in list(turns) if block % 2 else list(turns)[::-1]:
            pipes[side].send("work")
            seconds[side].append(pipes[side].recv())
    found: Figures = {}
    for side, turn in turns.items():
        pipes[side].send("end")
        cpu, wall = (statistics.median(times) / turn.per for times in zip(*seconds[side][1:], strict=True))
        found[side] = {"cpu_seconds": cpu, "wall_seconds": wall, "peak_gb": pipes[side].recv()}
    for child in children:
        child.join()
    return with_ratio(found)


def with_ratio(found: Figures) -> Figures:
    """Add the ratio product ÷ baseline to the figures of both sides."""
    product, baseline = found["product"], found["baseline"]
    return {
        "baseline": baseline,
        "product": product,
        "ratio": {name: product[name] / baseline[name] for name in product},
    }


def _serve(pipe: Connection, build: Callable[..., Work], arguments: tuple[Any, ...], threads: int) -> None:
    import torch

    from i2i_core.training.compute import peak_of_process

    torch.set_num_threads(threads)
    work, on_gpu = build(*arguments), torch.cuda.is_available()
    while pipe.recv() == "work":
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        pipe.send((time.process_time() - cpu, time.perf_counter() - wall))
    pipe.send((torch.cuda.max_memory_allocated() if on_gpu else peak_of_process()) / 1e9)
