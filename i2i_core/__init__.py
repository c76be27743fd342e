"""i2i: image-to-image GANs from recipes.

A plugin needs `hookimpl`; everything else is in the modules below, which read in the order of a run's life:
recipe, registry, components, data, tensors, losses, phases, trainer, hooks, state.
"""

from i2i_core.hookspecs import hookimpl

DISTRIBUTION = "i2i-gan"
"""The name that pip knows the core, `i2i` and the command by; a package called i2i is somebody else's."""
__version__ = "0.1.0"
__all__ = ["DISTRIBUTION", "__version__", "hookimpl"]
