"""Initialisation of networks with the weights of a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from i2i_core.disk.matching import match
from i2i_core.errors import CheckpointError
from i2i_core.models.folder import CONFIG, read


def start_from(folder: Path, networks: Mapping[str, nn.Module], domains: Sequence[str]) -> None:
    """Load the weights of a model's folder into networks of the same names. Warns of networks that the model lacks.

    domains: the domains of the training data; warns if they are not those of the model. Raises CheckpointError if there
    is no model, or its weights do not fit.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"there is no model in {folder} to start from; the working directory is {Path.cwd()}")
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
    if (earlier := model.config.domains) != list(domains):
        warnings.warn(
            f"the model {folder} was trained on the domains {', '.join(earlier)}; their weights are now used "
            f"for {', '.join(domains)}",
            stacklevel=2,
        )
