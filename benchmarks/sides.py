"""Product and baseline in processes of their own, which take turns.

A machine's speed drifts, so blocks of work alternate; a process's peak memory is its own, so neither side works in
the process that measures (which imports no torch: a child inherits its parent's peak).
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
"""By side, and `ratio`: a measure's name -> its value."""


@dataclass(frozen=True)
class Turn:
    """A piece of work of one side. build: makes it, in the child; per: what its seconds are divided by."""

    build: Callable[..., Work]
    per: int = 1


def alternate(turns: dict[str, Turn], arguments: tuple[Any, ...], *, blocks: int, threads: int) -> Figures:
    """The medians of CPU and wall seconds over `blocks` turns of each side, after one to warm up, and the peak memory.

    turns: by side. Memory is in GB, the process's; where there is a GPU, the GPU's.
    """
    context = multiprocessing.get_context("spawn")
    # Both are read by the children's torch. Threads that spin while they wait would count as CPU seconds.
    os.environ |= {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "10000"}
    pipes: dict[str, Connection] = {}
    children = []
    for side, turn in turns.items():
        pipes[side], theirs = context.Pipe()
        children.append(context.Process(target=_serve, args=(theirs, turn.build, arguments, threads), daemon=True))
        children[-1].start()
        theirs.close()  # else a child that failed would never be missed
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
    """The figures of both sides, and product ÷ baseline."""
    product, baseline = found["product"], found["baseline"]
    return {
        "baseline": baseline,
        "product": product,
        "ratio": {name: product[name] / baseline[name] for name in product},
    }


def _serve(pipe: Connection, build: Callable[..., Work], arguments: tuple[Any, ...], threads: int) -> None:
    import torch

    from i2i_core.compute import peak_of_process

    torch.set_num_threads(threads)
    work, on_gpu = build(*arguments), torch.cuda.is_available()
    while pipe.recv() == "work":
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        pipe.send((time.process_time() - cpu, time.perf_counter() - wall))
    pipe.send((torch.cuda.max_memory_allocated() if on_gpu else peak_of_process()) / 1e9)
