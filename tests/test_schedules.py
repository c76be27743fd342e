"""Weights and learning rates that change: functions of the step alone."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from i2i_core.schedules import Ramp, Schedule

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


@pytest.mark.parametrize("value", [
    "abc", None, [1, 2], {}, {"ramp": 1}, {"ramp": [1]}, {"ramp": [1, 2, 3]}, {"ramp": [1, 2], "over": 0},
    {"ramp": [1, 2], "over": -5}, {"ramp": [1, 2], "until": 5}])
def test_what_is_neither_a_number_nor_a_ramp_is_refused(value):
    with pytest.raises(ValidationError):
        read(value)
