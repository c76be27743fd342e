"""NaN and infinity in data, losses, gradients and weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from . import reader
from .machine import SLOW, Machine, ends_as_undisturbed, says_what_to_do, wait_until
from .results import Attempt, attempt, some

VALUES = (math.nan, math.inf, -math.inf)
YAML = {str(math.nan): ".nan", str(math.inf): ".inf", str(-math.inf): "-.inf"}
LOSSES = [(value, gradient, at) for at in (5, 1, 6) for value in VALUES for gradient in (False, True)]
WEIGHTS = [(value, step) for step in (4, 3, 5, 6) for value in (*VALUES, 3e38)]
SPOILT = "losses.painter.spoilt={use: fast/spoilt, at: %d, value: %s, gradient: %s}"


@pytest.mark.parametrize(("value", "gradient", "at"), some(LOSSES, ordinary=2, quarter=6))
def test_a_loss_or_a_gradient(machine: Machine, run: Path, value: float, gradient: bool, at: int) -> None:
    with attempt("not finite", LOSSES.index((value, gradient, at))) as tried:
        tried.tried = f"the {'gradient' if gradient else 'value'} of a loss is {value} in step {at}"
        spoilt = SPOILT % (at, YAML[str(value)], str(gradient).lower())
        stops(machine, run, tried, spoilt, code=6)
        if at == 5:  # a new process has counted fewer calls, so the spoilt one does not come again
            ends_as_undisturbed(machine, tried, run, SPOILT % (99, ".nan", "false"))


@pytest.mark.parametrize(("value", "step"), some(WEIGHTS, ordinary=3, quarter=6))
def test_a_weight(machine: Machine, run: Path, value: float, step: int) -> None:
    with attempt("not finite", 100 + WEIGHTS.index((value, step))) as tried:
        tried.tried = f"a weight is {value} after step {step}"
        ruin = f"hooks.ruin={{use: fast/ruin, step: {step}, value: {YAML.get(str(value), value)}}}"
        ended = machine.start(run, ruin).wait()
        says_what_to_do(tried, ended)
        all_are_finite(run)
        if math.isfinite(value):  # whether so large a weight can be trained is another question
            return
        assert ended.codes == [6], f"exit code {ended.codes[0]}: {tried.said}"
        ends_as_undisturbed(machine, tried, run, repair=["hooks.ruin=null"])


@pytest.mark.parametrize("value", some(VALUES, ordinary=1, quarter=1))
def test_data(machine: Machine, run: Path, value: float) -> None:
    with attempt("not finite", 200 + VALUES.index(value)) as tried:
        tried.tried = f"all files of the data hold {value}"
        here = machine.elsewhere(run.parent)
        files = [arrays(path) for path in (here.place / "pictures").rglob("*.png")]
        whole = {path: path.read_bytes() for path in files}
        form = "{format: {use: raster, channels: 3, range: [0, 1]}}"
        sets = (f"data.domains={{a: {form}, b: {form}}}",)
        here.undisturbed(*sets)
        processes = here.start(run, SLOW, *sets)
        wait_until(lambda: reader.reached(run) >= 1 or processes.all[0].exitcode is not None, "at step 1")
        for path in files:
            numbers = np.load(path)
            numbers[0] = value
            np.save(path, numbers)
        ended = processes.wait()
        says_what_to_do(tried, ended, 3)
        for path, contents in whole.items():
            path.write_bytes(contents)
        all_are_finite(run)
        ends_as_undisturbed(here, tried, run, *sets)


def arrays(path: Path) -> Path:
    """Replace a picture by the same numbers as an array."""
    from PIL import Image

    numbers = np.asarray(Image.open(path), np.float32) / 255
    path.unlink()
    np.save(path.with_suffix(".npy"), numbers)
    return path.with_suffix(".npy")


def stops(machine: Machine, run: Path, tried: Attempt, *sets: str, code: int) -> None:
    """Train until the run stops by itself; require the exit code, a sentence and finite checkpoints."""
    ended = machine.start(run, *sets).wait()
    says_what_to_do(tried, ended, code)
    all_are_finite(run)


def all_are_finite(run: Path) -> None:
    for step in reader.steps(run):
        found = reader.infinite(reader.checkpoint(run / "checkpoints" / f"step-{step:08d}"))
        assert not found, f"the checkpoint of step {step} is not finite: {found[0]}"
