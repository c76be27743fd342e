"""The bus from trainer to hooks: pluggy, with the methods of the `Hook` protocol as its specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from i2i_core.interfaces import EVENTS, Hook
from i2i_core.training.hooks.checkpoint import Checkpoint


class _Manager(pluggy.PluginManager):
    """Takes methods by name, so that a hook is a plain object without decorators."""

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        return {} if name in EVENTS else None

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        # Hooks with state (an EMA) hear an event before those that look at it (samples), and checkpoints are last.
        order = {"tryfirst": hasattr(plugin, "state_dict"), "trylast": isinstance(plugin, Checkpoint)}
        return order if name in EVENTS else None


def event_bus(hooks: Mapping[str, Any]) -> Any:
    """A pluggy relay: `bus.after_step(run=run, losses=...)` calls every hook that has the method, in recipe order."""
    manager = _Manager("i2i_events")
    manager.add_hookspecs(Hook)
    for name, hook in reversed(list(hooks.items())):  # pluggy calls the last registered first
        manager.register(hook, name)
    return manager.hook
