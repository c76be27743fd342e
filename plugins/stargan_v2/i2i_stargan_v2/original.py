"""Checkpoints of the original implementation: their contents, and the settings that follow from their shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from i2i_core.errors import CheckpointError

NETWORKS = ("generator", "mapping_network", "style_encoder")
"""Networks that translation needs; a `_nets.ckpt` also contains the discriminator, and both kinds may contain FAN."""
DATA_SETS = {(2, True): ("female", "male"), (3, False): ("cat", "dog", "wild")}
"""Domains of CelebA-HQ and AFHQ, by the number of domains and the use of masks."""


@dataclass(frozen=True)
class Original:
    """Contents and settings of a checkpoint of the original implementation."""

    networks: dict[str, dict[str, Tensor]]
    """State dict of each network; the names of networks and tensors are those of i2i too."""
    fan: dict[str, Tensor]
    """State dict of FAN, or an empty one."""
    image_size: tuple[int, int]
    """Height and width in pixels."""
    num_domains: int
    latent_dim: int
    hidden_dim: int
    style_dim: int
    channel_base: int
    max_channels: int
    w_hpf: float
    """Divisor of the high-pass filter's kernel; 0 for a generator without the filter."""

    @property
    def domains(self) -> list[str]:
        """Default names of the domains."""
        known = DATA_SETS.get((self.num_domains, self.w_hpf > 0))
        return list(known) if known else [f"domain_{y}" for y in range(self.num_domains)]

    def keys(self) -> dict[str, dict[str, Any]]:
        """Return the recipe keys of each network."""
        widths = {"channel_base": self.channel_base, "max_channels": self.max_channels}
        return {
            "generator": {"style_dim": self.style_dim, **widths},
            "mapping_network": {
                "latent_dim": self.latent_dim,
                "style_dim": self.style_dim,
                "hidden_dim": self.hidden_dim,
            },
            "style_encoder": {"style_dim": self.style_dim, **widths},
            "discriminator": widths,
        }


def understood(tensors: Mapping[str, Tensor], file: str, w_hpf: float | None = None) -> Original:
    """Interpret the tensors of a checkpoint, named PART/NAME by their place in the file.

    w_hpf: value for a generator with the high-pass filter. By default it is read from the file, or 1 if the file
        does not contain it.

    Raises CheckpointError if the file is not a checkpoint of StarGAN v2.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for place, tensor in tensors.items():
        part, _, name = place.partition("/")
        parts.setdefault(part, {})[name.removeprefix("module.")] = tensor

    def shape(part: str, name: str, rank: int) -> tuple[int, ...]:
        tensor = parts.get(part, {}).get(name)
        if tensor is None or tensor.ndim != rank:
            raise CheckpointError(f"{file} is not a checkpoint of StarGAN v2's networks: it lacks {name} of the {part}")
        return tuple(tensor.shape)

    def count(part: str, before: str, after: str) -> int:
        return sum(name.startswith(before) and name.endswith(after) for name in parts[part])

    shape("generator", "from_rgb.weight", 4)
    hidden_dim, latent_dim = shape("mapping_network", "shared.0.weight", 2)
    style_dim, _ = shape("mapping_network", "unshared.0.6.weight", 2)
    # The style encoder halves pictures until they have the size of the last convolution's kernel.
    narrowest = shape("style_encoder", "shared.0.weight", 4)[0]
    halvings = count("style_encoder", "shared.", ".conv1.weight")
    widest, _, height, width = shape("style_encoder", f"shared.{halvings + 2}.weight", 4)
    image_size = (height << halvings, width << halvings)
    # The generator has two halvings fewer and two more blocks. With the filter it has one more halving.
    filtered = count("generator", "encode.", ".conv1.weight") > halvings
    kernel = parts["generator"].pop("hpf.filter", None)  # a constant that HighPass computes itself
    if kernel is not None and not (kernel.shape == (3, 3) and 0 < kernel[1, 1] < math.inf):
        raise CheckpointError(f"{file} has a generator whose hpf.filter is not a high-pass filter")
    if not filtered:
        w_hpf = 0.0
    elif w_hpf is None:  # the kernel's centre is 8 / w_hpf in single precision
        w_hpf = 1.0 if kernel is None else float(f"{8 / kernel[1, 1].item():.6g}")
    return Original(
        {name: parts[name] for name in (*NETWORKS, "discriminator") if name in parts},
        parts.get("fan", {}),
        image_size,
        count("mapping_network", "unshared.", ".6.weight"),
        latent_dim,
        hidden_dim,
        style_dim,
        narrowest * min(image_size),
        widest,
        w_hpf,
    )
