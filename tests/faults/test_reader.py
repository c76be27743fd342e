"""The reader judges rightly: it agrees with the library of safetensors, and sees every damage."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from safetensors.torch import load_file

from . import reader
from .harms import HARMS
from .machine import Machine
from .promises import PROMISES
from .report import LAST_RUN, PAGE, page


def test_the_reader_reads_what_the_library_reads(machine: Machine) -> None:
    folder = machine.half / "checkpoints" / "step-00000004"
    found, count = reader.checkpoint(folder), 0
    for path in folder.rglob("*.safetensors"):
        for name, tensor in load_file(path).items():
            _, shape, data = found[f"{path.relative_to(folder).as_posix()}: {name}"]
            assert (shape, data) == (tuple(tensor.shape), tensor.numpy().tobytes())
            count += 1
    assert count == len(found) > 20


def test_the_reader_sees_any_damage(machine: Machine, run: Path) -> None:
    machine.copy(machine.half, run)
    folder = run / "checkpoints" / "step-00000004"
    for seed, path in enumerate([path for path in folder.rglob("*") if path.is_file()] * 8):
        whole = path.read_bytes()
        data = bytearray(whole)
        HARMS[seed % len(HARMS)](data, Random(seed))
        path.write_bytes(data)
        if data != whole:  # zeros may replace zeros
            with pytest.raises(reader.Damaged):
                reader.checkpoint(folder)
        path.write_bytes(whole)
    assert reader.newest_sound(run) == 4


def test_the_reader_sees_different_runs(machine: Machine) -> None:
    whole = machine.undisturbed()
    with pytest.raises(
        reader.Different, match="step 4 is not 6.*critic.*of metrics.jsonl, 5 lines, steps \\[6\\] are lost"
    ):
        reader.same(reader.result(machine.half), whole)
    reader.same(whole, whole)


def test_the_page_is_that_of_the_last_run_and_tells_of_every_promise() -> None:
    run = json.loads(LAST_RUN.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(run), "run python -m tests.faults.report"
    assert run["promises"].keys() == PROMISES.keys()
