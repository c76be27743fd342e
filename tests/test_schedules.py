"""Weights and learning rates that change: functions of the step alone."""

from __future__ import annotations

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from i2i_core.training.schedules import Ramp, Schedule

read = TypeAdapter(Schedule).validate_python


@pytest.mark.parametrize(("step", "value"), [(0, -1.0), (25, -0.75), (50, -0.5), (99, -0.01), (100, 0.0), (10**9, 0.0)])
def test_a_ramp_is_a_straight_line_and_then_constant(step, value):
    assert read({"ramp": [-1, 0], "over": 100})(step) == pytest.approx(value, abs=1e-15)


def test_the_ends_of_a_ramp_are_exact():
    ramp = Ramp(ramp=(0.1, 0.3), over=7)
    assert (ramp(0), ramp(7), ramp(8)) == (0.1, 0.3, 0.3)


@pytest.mark.parametrize("number", [2, 2.0, -0.5, 0])
def test_a_number_is_the_same_at_every_step(number):
    assert [read(number)(step) for step in (0, 1, 1000)] == [number] * 3


def test_a_ramp_over_nothing_said_takes_one_step():
    assert [read({"ramp": [3, 5]})(step) for step in (0, 1, 2)] == [3.0, 5.0, 5.0]


@pytest.mark.parametrize(("step", "value"), [(0, 2.0), (100, 2.0), (150, 1.0), (200, 0.0), (999, 0.0)])
def test_a_ramp_may_start_later(step, value):
    assert read({"ramp": [2, 0], "over": 100, "after": 100})(step) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("step", [0, 10, 33, 50, 90, 100, 101])
def test_a_cosine_is_half_a_wave_between_the_ends(step):
    """Loshchilov and Hutter 2017, equation 5."""
    expected = 0.1 + 0.5 * (0.3 - 0.1) * (1 + math.cos(math.pi * min(step, 100) / 100))
    assert read({"ramp": [0.3, 0.1], "over": 100, "curve": "cosine"})(step) == pytest.approx(expected, abs=1e-15)


def test_a_warm_up_scales_the_first_steps():
    warm = read({"ramp": [4, 4], "warmup": 4})
    assert [warm(step) for step in range(6)] == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]
    falling = read({"ramp": [4, 0], "over": 4, "warmup": 2})
    assert [falling(step) for step in range(5)] == [2.0, 3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize(("value", "said"), [
    (0.5, "0.5"), ({"ramp": [1, 0], "over": 2000}, "1 to 0 over 2,000 steps"),
    ({"ramp": [1, 0], "over": 2000, "after": 1000, "curve": "cosine", "warmup": 50},
     "1 to 0 over 2,000 steps after 1,000 on a cosine, warmed up over 50 steps"),
    ({"ramp": [1, 1], "warmup": 50}, "1, warmed up over 50 steps")])
def test_a_schedule_says_what_it_does(value, said):
    assert str(read(value)) == said


@pytest.mark.parametrize("value", [
    "abc", None, [1, 2], {}, {"ramp": 1}, {"ramp": [1]}, {"ramp": [1, 2, 3]}, {"ramp": [1, 2], "over": 0},
    {"ramp": [1, 2], "over": -5}, {"ramp": [1, 2], "until": 5},
    {"ramp": [1, 2], "after": -1}, {"ramp": [1, 2], "warmup": -1}, {"ramp": [1, 2], "curve": "square"}])
def test_what_is_neither_a_number_nor_a_ramp_is_refused(value):
    with pytest.raises(ValidationError):
        read(value)
