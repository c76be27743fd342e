"""i2i: image-to-image GANs from recipes.

A plugin imports `hookimpl`, and `detached` for a tensor through which no gradient flows. The subpackages follow the
course of a run: recipe, registry, plan, data, training, models; `disk` is below all of them.
"""

from i2i_core.interfaces import detached
from i2i_core.registry.hookspecs import hookimpl

DISTRIBUTION = "i2i-gan"
"""The distribution that pip installs. The package called i2i on the public registry is another project."""
__version__ = "0.1.0"
__all__ = ["DISTRIBUTION", "__version__", "detached", "hookimpl"]
