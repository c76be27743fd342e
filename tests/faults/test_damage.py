"""Flipped bits, cuts and zeros in every file of a run and of a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Answer
from tests.runs import Ended

from . import reader
from .harms import harm
from .machine import PLUGIN, Machine, says_what_to_do
from .results import attempt, seeds


def kind(path: Path) -> str:
    if path.parts[0] == "checkpoints":
        return "damaged checkpoint"
    return "damaged recipe" if path.name == "recipe.yaml" else "damaged bookkeeping"


@pytest.mark.parametrize("seed", seeds(20, 150, 1600))
def test_a_run_with_a_damaged_file(machine: Machine, run: Path, seed: int) -> None:
    with attempt("damaged checkpoint", seed) as tried:
        machine.copy(machine.half, run)
        path = harm(run, tried)
        tried.kind = kind(path)
        ended = machine.start(run, resume=True).wait()
        says_what_to_do(tried, ended)
        if tried.kind == "damaged recipe":
            assert ended.codes[0] in (0, 2, 4), ended
            if ended.codes != [0]:
                return
            assert values(run / path) == values(machine.half / path), "another recipe was trained"
        assert ended.codes == [0], ended.printed
        found, wanted = reader.result(run), machine.undisturbed()
        if path.name == "metrics.jsonl" and path.name in ended.printed[0]:  # it was told
            found = reader.Result(found.step, found.tensors, wanted.metrics)
        reader.same(found, wanted)


def values(path: Path) -> Any:
    """Read the values of a YAML file, or say that there are none."""
    try:
        return yaml.safe_load(path.read_text())
    except (ValueError, yaml.YAMLError):
        return None


@pytest.mark.parametrize("seed", seeds(10, 60, 600))
def test_a_model_with_a_damaged_file(machine: Machine, run: Path, call: Callable[..., Answer], seed: int) -> None:
    """In this process, since nothing is killed, and it is ten times as fast."""

    def translated(model: Path) -> tuple[Answer, bytes]:
        picture, made = machine.place / "pictures" / "val" / "a" / "0.png", run.with_name(f"{model.parent.name}.png")
        answer = call("translate", model, picture, "--domain", "b", "--out", made, "--plugin", PLUGIN)
        return answer, made.read_bytes() if answer.code == 0 else b""

    with attempt("damaged model", seed) as tried:
        whole, wanted = translated(machine.model)
        assert whole.code == 0, whole.err
        model = machine.copy(machine.model, run.with_name("model"))
        path = harm(model, tried)
        answer, made = translated(model)
        ended = Ended([answer.code], [answer.err])
        says_what_to_do(tried, ended)
        if answer.code == 0:
            assert made == wanted
            assert path.name != "config.json" or facts(model) == facts(machine.model), "another config.json is believed"


def facts(model: Path) -> Any:
    return json.loads((model / "config.json").read_text())
