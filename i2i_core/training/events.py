"""The bus from trainer to hooks: pluggy, with the methods of the `Hook` protocol as its specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from i2i_core.interfaces import EVENTS, Hook


class _Manager(pluggy.PluginManager):
    """Takes methods by name, so that a hook is a plain object without decorators."""

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        return {} if name in EVENTS else None

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        # Hooks with state (an EMA) hear an event before those that look at it (samples).
        order = getattr(plugin, "order", "first" if hasattr(plugin, "state_dict") else "")
        return {"tryfirst": order == "first", "trylast": order == "last"} if name in EVENTS else None


def event_bus(hooks: Mapping[str, Any]) -> Any:
    """Make a pluggy relay: `bus.after_step(run=run, losses=...)` calls every hook with that method, in recipe order."""
    manager = _Manager("i2i_events")
    manager.add_hookspecs(Hook)
    for name, hook in reversed(list(hooks.items())):  # pluggy calls the last registered first
        manager.register(hook, name)
    return manager.hook
