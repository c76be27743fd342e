"""The bus from trainer to hooks: any subset of an event's arguments, in the recipe's order, state before onlookers."""

from __future__ import annotations

import inspect

import pytest
import torch

from i2i_core.interfaces import EVENTS, Hook
from i2i_core.registry.hook_methods import event_problems
from i2i_core.training.events import event_bus


class Listener:
    """Notes what it hears."""

    def __init__(self, heard, name):
        self.heard, self.name = heard, name

    def after_step(self, run):
        self.heard.append((self.name, "after_step", run))


class WithState(Listener):
    """Notes it too, and has state."""

    def state_dict(self):
        return {}


def test_every_event_of_the_protocol_can_be_called():
    heard = []
    methods = {event: lambda self, run, event=event: heard.append(event) for event in EVENTS}
    bus = event_bus({"all": type("All", (), methods)()})
    for event in EVENTS:
        _, *arguments = inspect.signature(getattr(Hook, event)).parameters
        getattr(bus, event)(**dict.fromkeys(arguments))
    assert heard == list(EVENTS)
    assert {"run_start", "after_step", "run_end"} <= {*heard}


def test_a_hook_takes_the_arguments_that_it_names():
    heard = []

    class Choosy:
        def after_phase(self, losses, phase):
            heard.append((phase, losses))

        @torch.no_grad()
        def after_step(self, losses, run, color="red"):
            heard.append((run, losses, color))

        def run_end(self):
            heard.append("end")

    bus = event_bus({"choosy": Choosy()})
    bus.after_phase(run=1, phase="g", losses=2)
    bus.after_step(run=1, losses=2)
    bus.run_end(run=1)
    assert heard == [("g", 2), (1, 2, "red"), "end"]


def test_hooks_hear_in_the_recipes_order_and_those_with_state_first():
    heard = []
    kinds = {"a": Listener, "b": WithState, "c": Listener, "d": WithState}
    event_bus({name: kind(heard, name) for name, kind in kinds.items()}).after_step(run=None, losses={})
    assert [name for name, *_ in heard] == ["b", "d", "a", "c"]


def test_one_class_may_be_two_hooks():
    heard = []
    event_bus({"a": Listener(heard, "a"), "b": Listener(heard, "b")}).after_step(run=1, losses={})
    assert heard == [("a", "after_step", 1), ("b", "after_step", 1)]


def test_what_a_hook_raises_reaches_the_trainer():
    class Angry:
        def after_step(self):
            raise ValueError("no more")

    with pytest.raises(ValueError, match="^no more$"):
        event_bus({"angry": Angry()}).after_step(run=1, losses={})


@pytest.mark.parametrize(
    ("hook", "problems"),
    [
        (
            "misspelt",
            ["24:6: hook Misspelt has a method after_stepp, which is not an event (did you mean after_step?)"],
        ),
        ("curious", ["24:6: hook Curious: the event after_phase has no argument los (did you mean losses?)"]),
    ],
)
def test_a_hook_that_would_never_be_called_rightly_is_a_problem_of_the_recipe(mistakes, hook, problems):
    edit = ("ema: {use: ema, networks: [generator]}", f"h: tiny/{hook}")
    assert mistakes(edit) == [f"tiny.yaml:{problem}" for problem in problems]


def test_helpers_defaults_and_decorators_are_no_mistakes(check):
    check(("ema: {use: ema, networks: [generator]}", "h: tiny/fine"))


@pytest.mark.parametrize("name", ["run", "start", "draw", "step", "end", "save", "checkpoint", "state_dict"])
def test_a_method_that_is_no_near_miss_is_fine(name):
    assert event_problems(type("Free", (), {name: lambda self: None})) == []


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("on_after_step", "after_step"),
        ("after_steps", "after_step"),
        ("afterstep", "after_step"),
        ("run_started", "run_start"),
        ("beforephase", "before_phase"),
        ("checkpoint_save", "checkpoint_saved"),
    ],
)
def test_a_near_miss_of_an_event_is_caught(name, event):
    (problem,) = event_problems(type("Near", (), {name: lambda self: None}))
    assert str(problem) == f"hook Near has a method {name}, which is not an event (did you mean {event}?)"


def test_every_hook_that_is_registered_is_right(plugins):
    for entry in plugins.registry:
        if entry.kind == "hook" and entry.name not in ("tiny/misspelt", "tiny/curious"):
            assert event_problems(entry.load()) == [], entry.name
