"""Training that starts from the weights of a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from i2i_core.disk.matching import match
from i2i_core.errors import CheckpointError
from i2i_core.models.folder import CONFIG, read


def start_from(folder: Path, networks: Mapping[str, nn.Module], domains: Sequence[str]) -> None:
    """Fill networks with the weights that a model's folder holds of them; warns of those that it lacks.

    domains: of the data that they will see; warns where the model saw others. Raises CheckpointError.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"there is no model in {folder}, as seen from {Path.cwd()}, for this run to start from")
    model = read(folder)
    found = {name: tensors for name, tensors in model.networks.items() if name in networks and tensors}
    if not found:
        raise CheckpointError(
            f"the model {folder} has none of the recipe's networks {', '.join(networks)}; "
            f"it has {', '.join(model.networks)}"
        )
    match(
        {name: networks[name].state_dict() for name in found},
        found,
        f"the weights of the model {folder} do not fit the recipe's networks",
        "recipe",
        "model",
    )
    for name, tensors in found.items():
        networks[name].load_state_dict(tensors)
    if lacking := [name for name, network in networks.items() if name not in found and network.state_dict()]:
        warnings.warn(
            f"the model {folder} has no weights of {', '.join(lacking)}, which start from the seed", stacklevel=2
        )
    if (theirs := model.config.domains) != list(domains):
        warnings.warn(
            f"the model {folder} was trained on the domains {', '.join(theirs)}, whose weights are now those "
            f"of {', '.join(domains)}",
            stacklevel=2,
        )
