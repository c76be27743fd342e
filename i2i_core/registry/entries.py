"""The registry of components: names and import paths. A target is imported when it is first used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partialmethod
from typing import Any

from i2i_core.errors import PluginError

KINDS = ("network", "loss", "tensor", "method", "hook", "optimizer", "schedule", "format", "dataset", "trainer")


@dataclass(frozen=True)
class Entry:
    """A registered component: its `name` in recipes, and its `target`, "package.module:Object".

    The target of a method is a module, "package.module".
    """

    kind: str
    name: str
    target: str
    plugin: str

    def load(self) -> Any:
        """Import and return the target. Raises PluginError if the import fails or the target is not callable."""
        module, _, attribute = self.target.partition(":")
        try:
            found = importlib.import_module(module)
            found = getattr(found, attribute) if attribute else found
            if not (callable(found) or inspect.ismodule(found)):
                raise TypeError(f"{attribute} is neither a class nor a function")
            return found
        except BaseException as error:  # a plugin's module may raise anything
            if type(error) is KeyboardInterrupt:
                raise
            raise PluginError(
                f"{self.kind} {self.name} of plugin {self.plugin} does not load: "
                f"{type(error).__name__}: {error}; run i2i plugins, then update or uninstall it"
            ) from error


class Registry:
    """All registered components by kind and name."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def add(self, entry: Entry) -> None:
        """Add a component. Raises PluginError if its kind already has one with that name."""
        taken = self._entries.setdefault((entry.kind, entry.name), entry)
        if taken is not entry:
            raise PluginError(f"{entry.kind} {entry.name} is already registered by {taken.plugin}")

    def get(self, kind: str, name: str) -> Entry | None:
        return self._entries.get((kind, name))

    def names(self, kind: str) -> list[str]:
        return sorted(name for k, name in self._entries if k == kind)

    def remove_plugin(self, plugin: str) -> None:
        self._entries = {key: e for key, e in self._entries.items() if e.plugin != plugin}


class Registrar:
    """The argument of `i2i_components(registry)`, with a method for each kind; names get the plugin's prefix."""

    def __init__(self, registry: Registry, plugin: str, prefix: str) -> None:
        self._registry, self._plugin, self._prefix = registry, plugin, prefix

    def _add(self, kind: str, name: str, target: str) -> None:
        if kind != "method" and ":" not in target:
            raise PluginError(f"{kind} {self._prefix}{name}: the target should be package.module:Object, not {target}")
        self._registry.add(Entry(kind, self._prefix + name, target, self._plugin))

    network = partialmethod(_add, "network")
    """An nn.Module class, or a function that returns a module."""
    loss = partialmethod(_add, "loss")
    """A function of tensors that returns a scalar, or a class whose instances are such functions."""
    tensor = partialmethod(_add, "tensor")
    """A function or module that computes one named tensor from others."""
    method = partialmethod(_add, "method")
    """A module (a target without colon) whose public functions are the named tensors of the method."""
    hook = partialmethod(_add, "hook")
    """A class whose methods are named after events."""
    optimizer = partialmethod(_add, "optimizer")
    """A function `(params, *, ...) -> torch.optim.Optimizer`."""
    schedule = partialmethod(_add, "schedule")
    """A class whose instances map a step to a number, for a weight or a learning rate."""
    format = partialmethod(_add, "format")
    """A frozen dataclass that reads, encodes, shows and writes the pictures of a domain, or another field."""
    dataset = partialmethod(_add, "dataset")
    """A class with `domains`, `paired`, `count(domain)` and `picture(domain, index)`, or with records."""
    trainer = partialmethod(_add, "trainer")
    """A class with the method `train(run)`."""
