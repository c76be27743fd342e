"""The bus from trainer to hooks: pluggy, with the methods of the `Hook` protocol as its specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from i2i_core.interfaces import EVENTS, Hook

ORDERS = ("first", "", "last")


class _Manager(pluggy.PluginManager):
    """Takes methods by name, so that a hook is a plain object without decorators."""

    def parse_hookspec_opts(self, module_or_class: object, name: str) -> Any:
        return {} if name in EVENTS else None

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        return {} if name in EVENTS else None


def event_bus(hooks: Mapping[str, object]) -> pluggy.HookRelay:
    """Make a pluggy relay: `bus.after_step(run=run, losses=...)` calls every hook with that method.

    Hooks are called in recipe order, but for those that say to be first or last.
    """
    manager = _Manager("i2i_events")
    manager.add_hookspecs(Hook)
    in_order = sorted(hooks.items(), key=lambda item: ORDERS.index(_order(item[1])))
    for name, hook in reversed(in_order):  # pluggy calls the last registered first
        manager.register(hook, name)
    return manager.hook


def _order(hook: object) -> str:
    """A hook with state (an EMA) hears an event before those that look at it (grids), unless it says otherwise."""
    return getattr(hook, "order", "first" if hasattr(hook, "state_dict") else "")
