"""The transforms of torchvision, which `data.augment.also` names. torchvision is imported when one is looked up."""

from __future__ import annotations

import importlib
import inspect
from functools import lru_cache
from importlib.util import find_spec

from i2i_core.errors import PluginError
from i2i_core.registry.entries import Entry

MODULE = "torchvision.transforms.v2"


def transforms() -> dict[str, Entry]:
    """Return all transforms by name. Raises PluginError without torchvision."""
    if find_spec("torchvision") is None:
        raise PluginError('data.augment.also names transforms of torchvision: pip install "i2i-gan[torchvision]"')
    return _transforms()


@lru_cache(maxsize=1)
def _transforms() -> dict[str, Entry]:
    module = importlib.import_module(MODULE)
    return {
        name: Entry("transform", name, f"{MODULE}:{name}", "torchvision")
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, module.Transform) and found is not module.Transform
    }
