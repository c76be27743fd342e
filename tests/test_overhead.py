"""The trainer computes what the same iteration computes that is written out by hand; its cost is benchmarked."""

from __future__ import annotations

import pytest

from benchmarks.overhead import check, main, quick_start

from .runs import TINY

SMALL = [change for change in TINY if not change.startswith("hooks.")]


def test_the_trainer_and_a_loop_written_by_hand_end_with_the_same_parameters() -> None:
    assert check(*(quick_start(*SMALL, "precision=fp64") for _ in range(2))) < 1e-6


def test_the_benchmark_prints_its_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--blocks", "1", "--iterations", "1", *(f"--set={s}" for s in SMALL)]) == 0
    assert " % (medians of CPU time, 1 iterations each; parameters agree to " in capsys.readouterr().out
