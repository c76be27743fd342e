"""How much is tried, and the record of it: one line of JSON for each attempt."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TypeVar

import pytest

from .promises import PROMISES

SCALE = os.environ.get("I2I_FAULTS", "ordinary")
"""ordinary: two minutes, as part of the other tests. quarter: a quarter of an hour. full: one to two hours."""
T = TypeVar("T")

rarely = pytest.mark.skipif(SCALE == "ordinary", reason="make test-faults tries it")


@dataclass
class Attempt:
    """One fault, and what came of it."""

    kind: str
    """A key of PROMISES."""
    seed: int
    tried: str = ""
    """The fault in words."""
    survived: bool = False
    """Whether the promise was kept."""
    lost: int | None = None
    """Steps that had to be computed again, where that is counted."""
    said: str = ""
    """The last line that the disturbed process printed; if the promise was broken, how."""
    exit_code: int | None = None
    """Of the disturbed process; negative if a signal ended it."""
    test: str = ""
    """The test that tried it."""

    @property
    def random(self) -> random.Random:
        """The same random numbers for each kind and seed."""
        return random.Random(f"{self.kind} {self.seed}")


@contextmanager
def attempt(kind: str, seed: int = 0) -> Iterator[Attempt]:
    """Record what this block tries. It survives if the block raises nothing."""
    assert kind in PROMISES, kind
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0].partition("[")[0]
    tried = Attempt(kind, seed, test=test)
    try:
        yield tried
        tried.survived = True
    except BaseException as error:
        tried.said = f"{type(error).__name__}: {error}"
        raise
    finally:
        if path := os.environ.get("I2I_FAULTS_RESULTS"):
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{json.dumps(asdict(tried))}\n")


def seeds(ordinary: int, quarter: int, full: int) -> range:
    """Return the seeds to try at the scale of this session."""
    return range({"ordinary": ordinary, "quarter": quarter, "full": full}[SCALE])


def some(of: Sequence[T], ordinary: int, quarter: int) -> list[T]:
    """Return all of these in a full session, else so many of them, always the same."""
    count = min(len(of), {"ordinary": ordinary, "quarter": quarter, "full": len(of)}[SCALE])
    return [of[n] for n in sorted(random.Random(0).sample(range(len(of)), count))]
