"""Seconds and peak memory of a training iteration, without data loading and with EMA."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.sides import Figures, Turn, Work, alternate


def measure(size: int, batch: int, masks: bool, sets: Sequence[str] = (), *, blocks: int, threads: int) -> Figures:
    """Measure one iteration at `size` px; the warm-up is one iteration too."""
    return alternate(
        {"baseline": Turn(_baseline), "product": Turn(_product)},
        (size, batch, masks, sets),
        blocks=blocks,
        threads=threads,
    )


def _baseline(size: int, batch: int, masks: bool, sets: Sequence[str]) -> Work:
    from benchmarks.case import Case

    case = Case(size, batch, masks, sets)
    training, (given,) = case.baseline(), case.batches()
    return lambda: training.iterate(given)


def _product(size: int, batch: int, masks: bool, sets: Sequence[str]) -> Work:
    from benchmarks.case import Case
    from benchmarks.overhead import train_on

    case = Case(size, batch, masks, sets)
    run, given = case.product(), case.batches()
    return lambda: train_on(run, given)
