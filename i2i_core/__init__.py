"""i2i: image-to-image GANs from recipes.

A plugin needs `hookimpl`, and `detached` for a tensor through which no gradient flows. The rooms read in the order of
a run's life: recipe, registry, plan, data, training, models; `disk` is below all of them.
"""

from i2i_core.interfaces import detached
from i2i_core.registry.hookspecs import hookimpl

DISTRIBUTION = "i2i-gan"
"""The name that pip knows the core, `i2i` and the command by; a package called i2i is somebody else's."""
__version__ = "0.1.0"
__all__ = ["DISTRIBUTION", "__version__", "detached", "hookimpl"]
