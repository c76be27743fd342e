"""Product and baseline compute the same, and the benchmarks print what they promise."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from benchmarks import report
from benchmarks.agreement import largest_differences
from benchmarks.case import Case

from .runs import ROOT


@pytest.mark.parametrize(
    ("case", "steps"),
    [
        pytest.param(Case(32, 2, False, dtype=torch.float64), 2, id="plain"),
        pytest.param(Case(64, 1, True, dtype=torch.float64), 1, id="masks"),
    ],
)
def test_the_baseline_and_the_product_train_the_same(case: Case, steps: int) -> None:
    found = largest_differences(case, steps=steps, channel_base=8 * case.size, max_channels=16)
    assert found.keys() == {"losses", "parameters", "averages"}
    assert max(found.values()) < 1e-12


@pytest.mark.slow
def test_flops_are_printed_as_json_and_the_product_needs_fewer() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "flops", "--size", "32", "--batch", "1", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert (found["benchmark"], found["size"], found["batch"], found["masks"]) == ("flops", 32, 1, False)
    assert found["product"]["flops"] < found["baseline"]["flops"]
    assert found["ratio"]["flops"] == found["product"]["flops"] / found["baseline"]["flops"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--size", "0"], "argument --size: invalid positive value: '0'"),
        (["--set", "nonsense=1"], "--set nonsense=1: unknown key nonsense in the recipe"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(wrong: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "flops", *wrong], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"python -m benchmarks: error: {said}")


def test_the_table_of_results_is_that_of_the_measurements() -> None:
    assert report.README.read_text() == report.readme()
