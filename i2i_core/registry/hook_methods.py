"""Checks of hook classes: misspelt events and unknown arguments."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable

from i2i_core.errors import Problem, did_you_mean
from i2i_core.interfaces import EVENTS, Hook


def event_problems(cls: type) -> list[Problem]:
    """Return a problem for each method whose name is a misspelt event, and for each argument that its event lacks."""
    problems = []
    for name in (n for n in vars(cls) if not n.startswith("_") and n not in EVENTS and callable(getattr(cls, n))):
        for close in difflib.get_close_matches(name, EVENTS, n=1, cutoff=0.8):  # `run` and `start` are allowed
            problems.append(
                Problem(
                    f"hook {cls.__name__} has a method {name}, which is not an event", hint=f"did you mean {close}?"
                )
            )
    known = {event: _names(getattr(Hook, event)) for event in EVENTS}
    for event in (e for e in EVENTS if hasattr(cls, e)):
        for argument in sorted(_names(getattr(cls, event)) - known[event]):
            problems.append(
                Problem(
                    f"hook {cls.__name__}: the event {event} has no argument {argument}",
                    hint=did_you_mean(argument, known[event]),
                )
            )
    return problems


def _names(method: Callable[..., object]) -> set[str]:
    """Return the names of a method's arguments without default, which the event bus passes; decorators are followed."""
    _, *arguments = inspect.signature(method).parameters.values()
    return {a.name for a in arguments if a.default is a.empty and a.kind is a.POSITIONAL_OR_KEYWORD}
