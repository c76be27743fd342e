"""The event bus from trainer to hooks, a pluggy relay with the methods of the `Hook` protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from i2i_core.interfaces import EVENTS, Hook

ORDERS = ("first", "", "last")


class _Manager(pluggy.PluginManager):
    """A plugin manager that finds methods by name, so that hooks need no decorators."""

    def parse_hookspec_opts(self, module_or_class: object, name: str) -> Any:
        return {} if name in EVENTS else None

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        return {} if name in EVENTS else None


def event_bus(hooks: Mapping[str, object]) -> pluggy.HookRelay:
    """Return a pluggy relay: `bus.after_step(run=run, losses=...)` calls every hook with that method.

    Hooks are called in the order of the recipe, except those with `order` "first" or "last". Among hooks of one
    `order`, those with state come first, so that a checkpoint includes the state of all.
    """
    manager = _Manager("i2i_events")
    manager.add_hookspecs(Hook)
    in_order = sorted(hooks.items(), key=lambda item: _place(item[1]))
    for name, hook in reversed(in_order):  # pluggy calls the last registered first
        manager.register(hook, name)
    return manager.hook


def _place(hook: object) -> tuple[int, bool]:
    """Return the sort key of a hook. Hooks with state, such as an EMA, are first by default."""
    stateful = hasattr(hook, "state_dict")
    return ORDERS.index(getattr(hook, "order", "first" if stateful else "")), not stateful
