"""A run starts almost as fast as torch is imported and networks are built."""

from __future__ import annotations

import json

import pytest

from benchmarks.start import main, measure


@pytest.mark.slow
def test_a_run_starts_in_at_most_1_3_times_what_torch_and_the_networks_take():
    assert measure(rounds=5)["ratio"]["cpu_s"] <= 1.3


def test_the_benchmark_prints_both_sides_and_their_ratio(capsys):
    assert main(["--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["product"]["cpu_s_first_step"] > 0
    assert found["ratio"]["cpu_s"] == pytest.approx(found["product"]["cpu_s"] / found["baseline"]["cpu_s"])
