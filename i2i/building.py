"""Checks of the components that a model names, before they are built: a model may come from an untrusted source."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from i2i_core.data.fitting import Layout, Seen
from i2i_core.errors import CheckpointError, PluginError, RecipeError
from i2i_core.interfaces import Format
from i2i_core.models.folder import FieldLayout, Model
from i2i_core.registry.environment import missing
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.specs import Checker, Spec, build


@dataclass(frozen=True)
class Parts:
    """The specs of what a model consists of, with the paths of its files."""

    method: Spec
    networks: Mapping[str, Spec]
    tensors: Mapping[str, Spec]
    layouts: Mapping[str, Layout]
    """The layouts of the batch fields, by name."""


def parts_of(model: Model, plugins: Plugins) -> Parts:
    """Check the components that a model names. Raises PluginError and CheckpointError."""
    config, checker = model.config, Checker(plugins, model.document)
    method = checker.check("method", {"use": config.method.use}, ("method",))
    networks, tensors = (
        {name: checker.check(kind, {"use": use.use, **use.params}, (f"{kind}s", name)) for name, use in uses.items()}
        for kind, uses in (("network", config.networks), ("tensor", config.tensors))
    )
    formats = {
        name: checker.check("format", {"use": of.format.use, **of.format.params}, ("layouts", name, "format"))
        for name, of in config.layouts.items()
    }
    if checker.problems:
        if gone := missing(config.plugins, plugins):
            raise PluginError("\n".join(f"the model {model.name} needs {what}" for what in gone))
        raise CheckpointError(f"the model {model.name} cannot be used.\n{RecipeError(checker.problems)}")
    found = [
        {name: _with_files(spec, model) for name, spec in specs.items() if spec}
        for specs in (networks, tensors, formats)
    ]
    assert method is not None
    layouts = {name: _layout(build(spec, {}), config.layouts[name]) for name, spec in found[2].items()}
    return Parts(method, found[0], found[1], layouts)


def _layout(form: Format, written: FieldLayout) -> Layout:
    seen = Seen(written.seen.aspects, written.seen.sides) if written.seen else None
    return Layout(form, written.size, written.fit, seen, written.half)


def without_memory(specs: Mapping[str, Spec], facts: Mapping[str, object], model: Model) -> dict[str, Any]:
    """Build components on the meta device: config.json may contain sizes that do not fit in memory."""
    found = {}
    with (
        torch.device("meta"),
        _Unfilled(),
        warnings.catch_warnings(action="ignore"),
    ):  # weights cannot be loaded to the meta device
        for name, spec in specs.items():
            try:
                found[name] = build(spec, facts)
            except (RuntimeError, TypeError) as error:
                why = str(error).partition("\n")[0]
                raise CheckpointError(
                    f"the model {model.name} cannot be used: its {spec.entry.kind} {name} cannot be built ({why})"
                ) from error
    return found


class _Unfilled(TorchFunctionMode):
    """Mode without random initialisation, for which torch would import its compiler: that takes a second."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if function in (Tensor.normal_, Tensor.uniform_) else function(*args, **(kwargs or {}))


def _with_files(spec: Spec, model: Model) -> Spec:
    """Resolve the paths in a spec to files of the model, and refuse all other paths."""
    spec.params = {key: _with_file(value, model) for key, value in spec.params.items()}
    return spec


def _with_file(value: Any, model: Model) -> Any:
    if isinstance(value, Spec):
        return _with_files(value, model)
    if isinstance(value, Mapping):
        return {key: _with_file(inner, model) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_file(inner, model) for inner in value)
    if not isinstance(value, Path):
        return value
    if str(value) not in model.files:
        raise CheckpointError(f"the model {model.name} names the file {value}, which its folder does not contain")
    return model.files[str(value)]
