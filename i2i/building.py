"""Checks of the components that a model names, before they are built: a model may come from an untrusted source."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from i2i_core.data.fitting import Layout, Seen
from i2i_core.errors import CheckpointError, I2IError, PluginError, RecipeError
from i2i_core.interfaces import Format
from i2i_core.models.folder import FieldLayout, Model
from i2i_core.registry.environment import missing
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.specs import Checker, Spec, build

MODULES, CALLS = (1_000, 10), (2_000_000, 15_000)
"""Modules that components may consist of, and calls of functions that building them may take, before it is refused.

Each as the number for all components, and the number for each tensor of the weights. Networks of the plugins have up to
3 modules for a tensor, and take 200 calls, or 10,000 with spectral norms.
"""
FOR_TENSORS = 20_000
"""Modules of all named tensors, whose weights are in files of their own."""
BYTES = 2**30
"""Bytes that the weights of all named tensors may take besides four times the model's files."""
ELEMENTS = 2**28
"""Most numbers of a value of a batch field, which are a gigabyte: 8192 x 8192 pixels of four channels."""


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
    try:
        layouts = {name: _layout(build(spec, {}), config.layouts[name]) for name, spec in found[2].items()}
    except RecipeError as error:
        raise CheckpointError(f"the model {model.name} cannot be used.\n{error}") from None
    for name, layout in layouts.items():
        _refuse_large(name, layout, model)
    return Parts(method, found[0], found[1], layouts)


def _layout(form: Format, written: FieldLayout) -> Layout:
    seen = Seen(written.seen.aspects, written.seen.sides) if written.seen else None
    return Layout(form, written.size, written.fit, seen, written.half)


def _refuse_large(name: str, layout: Layout, model: Model) -> None:
    """Raise CheckpointError for a batch field whose values would not fit in memory."""
    pixel = layout.format.example((1, 1), np.random.default_rng(0))
    channels = layout.format.encode(pixel[None], torch.float32).shape[1]
    if channels * (math.prod(layout.size) if pixel.dim() == 3 else 1) > ELEMENTS:
        height, width = layout.size
        what = f"{channels:,} channels of {height} x {width} pixels"
        raise CheckpointError(f"the model {model.name} is refused: its batch field {name} has {what}")


def without_memory(specs: Mapping[str, Spec], facts: Mapping[str, object], model: Model) -> dict[str, Any]:
    """Build components on the meta device: config.json may contain sizes that do not fit in memory.

    Raises CheckpointError for components that cannot be built, or consist of more parts than the weights can fill.
    """
    found, networks = {}, any(spec.entry.kind == "network" for spec in specs.values())
    kept = sum(map(len, model.networks.values()))
    modules, calls = (most + each * kept for most, each in (MODULES, CALLS))
    with (
        _limited(modules if networks else FOR_TENSORS, calls, model),
        torch.device("meta"),
        _Unfilled(),
        warnings.catch_warnings(action="ignore"),
    ):  # weights cannot be loaded to the meta device
        for name, spec in specs.items():
            try:
                found[name] = build(spec, facts)
            except RecipeError as error:
                raise CheckpointError(f"the model {model.name} cannot be used.\n{error}") from error
            except I2IError:
                raise
            except Exception as error:  # a component may raise anything for numbers that it was not written for
                why = str(error).partition("\n")[0]
                raise CheckpointError(
                    f"the model {model.name} cannot be used: its {spec.entry.kind} {name} cannot be built ({why})"
                ) from error
    return found


def refuse_memory(made: Mapping[str, Any], model: Model) -> None:
    """Raise CheckpointError for named tensors that would take much more memory than the files of the model.

    made: what `without_memory` built. Networks are compared with the weights, tensor by tensor.
    """
    modules = [module for module in made.values() if isinstance(module, nn.Module)]
    taken = sum(t.nbytes for module in modules for t in (*module.parameters(), *module.buffers()) if not is_lazy(t))
    if taken > BYTES + 4 * sum(file.size for file in model.config.files.values()):
        raise CheckpointError(
            f"the model {model.name} is refused: its tensors would take {taken:,} bytes, much more than its files"
        )


class _Endless(BaseException):
    """More modules or calls than building a model takes; no component catches it, as an Exception."""


@contextmanager
def _limited(modules: int, calls: int, model: Model) -> Iterator[None]:
    """Raise CheckpointError in this block after so many modules, or calls of functions, on this thread."""
    begins, before = nn.Module.__init__.__code__, sys.getprofile()

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal modules, calls
        if event == "call" or event == "c_call":
            calls -= 1
            modules -= event == "call" and frame.f_code is begins
            if calls < 0 or modules < 0:
                raise _Endless

    sys.setprofile(count)
    try:
        yield
    except _Endless:
        raise CheckpointError(
            f"the model {model.name} is refused: what its config.json describes has far more parts than its weights"
        ) from None
    finally:
        sys.setprofile(before)


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
