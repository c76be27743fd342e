"""The table of peaks is made by what a dry run uses."""

from __future__ import annotations

import json

import pytest

from benchmarks.memory import main


@pytest.mark.slow
def test_the_benchmark_prints_each_switch_and_the_ratio_of_all(capsys):
    assert main(["--size", "32", "--batch", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["switches"])[:2] == ["as is", "data.gradient_accumulation=2"]
    assert found["ratio"] == found["product"] / found["baseline"]
