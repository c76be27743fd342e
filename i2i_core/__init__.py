"""i2i: image-to-image GANs from recipes.

A plugin needs `hookimpl`; everything else is in the modules below, which read in the order of a run's life:
recipe, registry, components, data, tensors, losses, phases, trainer, hooks, state.
"""

from i2i_core.registry.hookspecs import hookimpl

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]
