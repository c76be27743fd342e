"""Weights and learning rates that change: functions of the step alone, and components as any other."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from i2i_core.plan.check import check_recipe
from i2i_core.plan.resolved import dump, resolve
from i2i_core.recipe.reading import parse_recipe
from i2i_core.registry.plugins import discover
from i2i_core.registry.specs import build
from i2i_core.training.hooks.ema import EMA
from i2i_core.training.losses.penalties import r1
from i2i_core.training.schedules import Linear

from .conftest import TINY

WEIGHT, LR = "losses.g.near.weight", "optimizers.discriminator.lr"


@pytest.fixture(scope="module")
def read(check) -> Callable[[str], Any]:
    """The schedule that a weight becomes."""
    return lambda written: check(sets=(f"{WEIGHT}={written}",)).weight(("g", "near"))


@pytest.mark.parametrize(("step", "value"), [(0, -1.0), (25, -0.75), (50, -0.5), (99, -0.01), (100, 0.0), (10**9, 0.0)])
def test_a_ramp_is_a_straight_line_and_then_constant(read, step, value):
    assert read("{ramp: [-1, 0], over: 100}")(step) == pytest.approx(value, abs=1e-15)


def test_the_ends_of_a_ramp_are_exact():
    ramp = Linear(ramp=(0.1, 0.3), over=7)
    assert (ramp(0), ramp(7), ramp(8)) == (0.1, 0.3, 0.3)


@pytest.mark.parametrize("number", [2, 2.0, -0.5, 0])
def test_a_number_is_the_same_at_every_step(read, number):
    assert [read(str(number))(step) for step in (0, 1, 1000)] == [number] * 3


def test_a_ramp_over_nothing_said_takes_one_step(read):
    assert [read("{ramp: [3, 5]}")(step) for step in (0, 1, 2)] == [3.0, 5.0, 5.0]


@pytest.mark.parametrize(("step", "value"), [(0, 2.0), (100, 2.0), (150, 1.0), (200, 0.0), (999, 0.0)])
def test_a_ramp_may_start_later(read, step, value):
    assert read("{ramp: [2, 0], over: 100, after: 100}")(step) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    "written", ["{ramp: [0.3, 0.1], over: 100, curve: cosine}", "{use: cosine, ramp: [0.3, 0.1], over: 100}"]
)
@pytest.mark.parametrize("step", [0, 10, 33, 50, 90, 100, 101])
def test_a_cosine_is_half_a_wave_between_the_ends(read, step, written):
    """Loshchilov and Hutter 2017, equation 5."""
    expected = 0.1 + 0.5 * (0.3 - 0.1) * (1 + math.cos(math.pi * min(step, 100) / 100))
    assert read(written)(step) == pytest.approx(expected, abs=1e-15)


def test_a_warm_up_scales_the_first_steps(read):
    warm = read("{ramp: [4, 4], warmup: 4}")
    assert [warm(step) for step in range(6)] == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]
    falling = read("{ramp: [4, 0], over: 4, warmup: 2}")
    assert [falling(step) for step in range(5)] == [2.0, 3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.5", "0.5"),
        ("{ramp: [1, 0], over: 2000}", "1 to 0 over 2,000 steps"),
        (
            "{ramp: [1, 0], over: 2000, after: 1000, curve: cosine, warmup: 50}",
            "1 to 0 over 2,000 steps after 1,000 on a cosine, warmed up over 50 steps",
        ),
        ("{ramp: [1, 1], warmup: 50}", "1, warmed up over 50 steps"),
    ],
)
def test_a_schedule_says_what_it_does(read, value, text):
    assert str(read(value)) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abc", f"{WEIGHT} should be a number, not 'abc'"),
        ("true", "should be a number, not true"),
        ("my/steps", "there is no schedule called my/steps"),
        ("null", "should be a number, not null"),
        ("[1, 2]", "should be a number, not [1, 2]"),
        ("{}", "schedule linear needs the key ramp"),
        ("{ramp: 1}", f"{WEIGHT}.ramp should be a list, not 1"),
        ("{ramp: [1]}", f"{WEIGHT}.ramp.1 is missing"),
        ("{ramp: [1, 2, 3]}", f"{WEIGHT}.ramp"),
        ("{ramp: [1, .nan]}", f"{WEIGHT}.ramp.1 should be a finite number"),
        (".inf", "should be a finite number"),
        ("{ramp: [1, 2], over: 0}", f"{WEIGHT}.over should be greater than 0, not 0"),
        ("{ramp: [1, 2], until: 5}", "schedule linear has no key until (known: after, over, ramp, warmup)"),
        ("{ramp: [1, 2], after: -1}", f"{WEIGHT}.after should be greater than or equal to 0, not -1"),
        ("{ramp: [1, 2], warmup: -1}", f"{WEIGHT}.warmup should be"),
        ("{ramp: [1, 2], curve: square}", "there is no schedule called square"),
    ],
)
def test_what_is_neither_a_number_nor_a_schedule_is_refused_at_its_place(mistakes, value, message):
    (found,) = mistakes(sets=(f"{WEIGHT}={value}",))
    assert found.startswith(f"--set {WEIGHT}={value}: ")
    assert message in found


def test_a_learning_rate_that_becomes_negative_is_refused(mistakes):
    (found,) = mistakes(sets=(f"{LR}={{ramp: [1e-3, -1e-3], over: 4}}",))
    assert "lr should be greater than or equal to 0, not -0.001" in found


@pytest.mark.parametrize(
    ("decay", "message"),
    [
        ("2", "hooks.ema.decay should be less than 1, not 2"),
        ("{ramp: [0.5, 1.5], over: 4}", "hooks.ema.decay should be less than 1, not 1.5"),
        ("{ramp: [-1, 0.5], over: 4}", "hooks.ema.decay should be greater than or equal to 0, not -1.0"),
        ("{ramp: [0.5]}", "hooks.ema.decay.ramp.1 is missing"),
        ("slow", "hooks.ema.decay should be a number, not 'slow'"),
        ("null", "hooks.ema.decay should be a number, not null"),
    ],
)
def test_a_number_that_may_change_is_checked_at_both_ends(mistakes, decay, message):
    (found,) = mistakes(sets=(f"hooks.ema.decay={decay}",))
    assert found == f"--set hooks.ema.decay={decay}: {message}"


def test_a_number_that_may_change_stays_a_number_in_the_resolved_recipe(check):
    plain, ramp = (check(sets=(f"hooks.ema.decay={value}",)) for value in ("0.5", "{ramp: [0, 0.9], over: 4}"))
    assert resolve(plain)["hooks"]["ema"]["decay"] == 0.5
    assert plain.hooks["ema"].params["decay"] == 0.5
    found = resolve(ramp)["hooks"]["ema"]["decay"]
    assert found == {"use": "linear", "ramp": [0.0, 0.9], "over": 4, "after": 0, "warmup": 0}
    again = parse_recipe(dump(ramp), "recipe.yaml", ())
    assert resolve(check_recipe(again, discover(files=(TINY,)))) == resolve(ramp)


def test_a_parameter_that_is_a_schedule_takes_a_number_as_well(check, mistakes):
    made = check(sets=("hooks.timed={use: tiny/timed, at: 0.5, late: 3}",)).hooks["timed"]
    assert [build(made.params[key], {})(7) for key in ("at", "late")] == [0.5, 3.0]
    assert (
        check(sets=("hooks.timed={use: tiny/timed, at: {ramp: [0, 1]}, late: null}",)).hooks["timed"].params["late"]
        is None
    )
    change = "hooks.timed={use: tiny/timed, at: [1]}"
    assert mistakes(sets=(change,)) == [f"--set {change}: hooks.timed.at should be a number, not [1]"]


@pytest.mark.parametrize(("unbiased", "first"), [(False, 7.0), (True, 0.0)])
def test_an_average_follows_a_decay_that_changes_also_after_a_resume(unbiased: bool, first: float) -> None:
    network, decay = nn.Linear(1, 1, bias=False), [0.5, 0.8, 0.9]
    run: Any = SimpleNamespace(networks={"n": network}, eval_networks={}, step=0)

    def started() -> EMA:
        ema = EMA(networks=["n"], decay=lambda step: decay[step], unbiased=unbiased)
        ema.run_start(run)
        return ema

    network.weight.data.fill_(7.0)
    ema, expected, weights = started(), first, 0.0
    for step, d in enumerate(decay):
        if step == 2:
            saved, ema = ema.state_dict(), started()
            ema.load_state_dict(saved)
        network.weight.data.fill_(float(step))
        run.step = step + 1
        ema.after_step(run)
        expected, weights = d * expected + (1 - d) * step, d * weights + (1 - d)
    assert float(ema.averages["n"].weight) == pytest.approx(expected / (weights if unbiased else 1), abs=1e-5)


def test_r1_follows_a_schedule_of_gamma_by_the_step() -> None:
    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    logits = x.square().sum(1)
    ramp = Linear(ramp=(1.0, 3.0), over=10)
    found = [float(r1(logits, x, step, gamma=ramp).detach()) for step in (0, 5, 10)]
    assert found == pytest.approx([6.0, 12.0, 18.0])  # γ/2 · |2x|²


def test_a_plugins_schedule_is_written_as_any_other(tmp_path: Path) -> None:
    file = tmp_path / "halving.py"
    file.write_text('''
from i2i_core import hookimpl

@hookimpl
def i2i_components(registry):
    registry.schedule("steps", "halving:Halving")

class Halving:
    """Halves every n steps. first: the first value; every: n."""
    def __init__(self, *, first: float, every: int):
        if every < 1:
            raise ValueError(f"every should be 1 or more, not {every}")
        self.first, self.every = first, every
    def __call__(self, step):
        return self.first / 2 ** (step // self.every)
''')
    try:
        plugins = discover(files=(TINY, file))
        written = "{use: halving/steps, first: 8, every: 2}"
        text = TINY.with_suffix(".yaml").read_text()
        checked = check_recipe(parse_recipe(text, "tiny.yaml", (f"{WEIGHT}={written}", f"{LR}={written}")), plugins)
        weight = checked.weight(("g", "near"))
        assert [weight(step) for step in range(6)] == [8, 8, 4, 4, 2, 2]
        lr = checked.optimizers["discriminator"].schedules["lr"]
        assert [lr(step) for step in range(6)] == [8, 8, 4, 4, 2, 2]
    finally:
        sys.modules.pop("halving", None)


def test_explain_shows_a_schedule_without_a_text_as_the_recipe_does(i2i, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stairs.py").write_text('''
from i2i_core import hookimpl

@hookimpl
def i2i_components(registry):
    registry.schedule("down", "stairs:Down")

class Down:
    """Falls by 1 every n steps. every: n."""
    def __init__(self, *, every: int = 2):
        self.every = every
    def __call__(self, step):
        return -(step // self.every)
''')
    try:
        weight = "losses.generator.style.weight={use: stairs/down, every: 3}"
        answer = i2i("explain", "stargan_v2.yaml", "--plugin", "stairs.py", "--set", weight)
        assert answer.code == 0, answer.err
        assert "stairs/down, every: 3" in answer.out
        assert "object at" not in answer.out
    finally:
        sys.modules.pop("stairs", None)
