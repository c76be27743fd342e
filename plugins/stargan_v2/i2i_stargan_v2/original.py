"""Checkpoints of the original implementation: what is in them, and the sizes and settings that its shapes tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from i2i_core.errors import CheckpointError

NETWORKS = ("generator", "mapping_network", "style_encoder")
"""Without which nothing is translated; a `_nets.ckpt` has the discriminator too, either may have FAN."""
DATA_SETS = {(2, True): ("female", "male"), (3, False): ("cat", "dog", "wild")}
"""The domains of the original's own data sets, by their number and whether faces keep details by masks."""


@dataclass(frozen=True)
class Original:
    """What a checkpoint of the original is."""

    networks: dict[str, dict[str, Tensor]]
    """The state of each network under our names, which are the original's."""
    fan: dict[str, Tensor]
    """FAN's state, or nothing."""
    image_size: tuple[int, int]
    """H and W."""
    num_domains: int
    latent_dim: int
    hidden_dim: int
    style_dim: int
    channel_base: int
    max_channels: int
    w_hpf: float
    """What the kernel of the high-pass filter was divided by; 0 for a generator without the filter."""

    @property
    def domains(self) -> list[str]:
        """What the domains are called unless one knows better."""
        known = DATA_SETS.get((self.num_domains, self.w_hpf > 0))
        return list(known) if known else [f"domain_{y}" for y in range(self.num_domains)]

    def keys(self) -> dict[str, dict[str, Any]]:
        """The keys of each network in a recipe."""
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
    """What the tensors of a checkpoint, by their places in it, are.

    w_hpf: of a generator that has the filter; without it, what the file says, or 1 where it does not.
    Raises CheckpointError for what is no checkpoint of StarGAN v2.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for place, tensor in tensors.items():
        part, _, name = place.partition("/")
        parts.setdefault(part, {})[name.removeprefix("module.")] = tensor

    def shape(part: str, name: str, rank: int) -> tuple[int, ...]:
        tensor = parts.get(part, {}).get(name)
        if tensor is None or tensor.ndim != rank:
            raise CheckpointError(f"{file} is no checkpoint of StarGAN v2's networks: it has no {name} of a {part}")
        return tuple(tensor.shape)

    def count(part: str, before: str, after: str) -> int:
        return sum(name.startswith(before) and name.endswith(after) for name in parts[part])

    shape("generator", "from_rgb.weight", 4)
    hidden_dim, latent_dim = shape("mapping_network", "shared.0.weight", 2)
    style_dim, _ = shape("mapping_network", "unshared.0.6.weight", 2)
    # The style encoder halves pictures until the last convolution's kernel is as large as what is left of them.
    narrowest = shape("style_encoder", "shared.0.weight", 4)[0]
    halvings = count("style_encoder", "shared.", ".conv1.weight")
    widest, _, height, width = shape("style_encoder", f"shared.{halvings + 2}.weight", 4)
    image_size = (height << halvings, width << halvings)
    # The generator halves twice less often and has two blocks more; with the filter it halves once more.
    filtered = count("generator", "encode.", ".conv1.weight") > halvings
    kernel = parts["generator"].pop("hpf.filter", None)  # a constant, which our skip makes itself
    if kernel is not None and not (kernel.shape == (3, 3) and 0 < kernel[1, 1] < math.inf):
        raise CheckpointError(f"{file} has a generator whose hpf.filter is no high-pass filter")
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
