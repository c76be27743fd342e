"""The record of what was tried: one line of JSON for each test."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pytest


@dataclass
class Tally:
    """How many inputs of a kind were tried, and what became of them; any other end is one that should not be."""

    what: str = ""
    test: str = ""
    tried: int = 0
    read: int = 0
    refused: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count an input, which is read unless the block calls `refuse`."""
        before, self.tried = self.refused, self.tried + 1
        yield
        self.read += self.refused == before

    def refuse(self) -> None:
        self.refused += 1


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    counted = Tally(test=request.node.nodeid.partition("::")[0])
    yield counted
    if path := os.environ.get("I2I_FUZZ_RESULTS"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(counted))}\n")
