"""The machine on which faults are tried."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import Machine

collect_ignore_glob = [] if hasattr(signal, "SIGKILL") else ["test_*.py"]  # systems without signals to harm a run

collect_ignore_glob = [] if hasattr(os, "fork") else ["*.py"]  # Windows has no such processes and signals


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run, which is gone after the test: there are thousands."""
    yield tmp_path / "run"
    shutil.rmtree(tmp_path, ignore_errors=True)
