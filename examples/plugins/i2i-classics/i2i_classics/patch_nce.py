"""PatchNCE: a patch of a translation should be more like its source's patch than like others (CUT, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from i2i_core.errors import did_you_mean

from .layers import STD

Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Patches = Annotated[int, Field(ge=2)]


class Projector(nn.Module):
    """H: `layers` MLPs of two layers, one for each map, that take features (..., C_l) to unit vectors (..., `width`).

    How many channels C_l a map has is learnt from the first features that come.
    """

    def __init__(self, *, layers: PositiveInt = 5, width: PositiveInt = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(LazyNormalLinear(width), nn.ReLU(), LazyNormalLinear(width)) for _ in range(layers)
        )

    def forward(self, layer: int, features: Tensor) -> Tensor:
        """Head number `layer` of features (..., C)."""
        return F.normalize(self.heads[layer](features), dim=-1)


class LazyNormalLinear(nn.LazyLinear):
    """Weights from N(0, 0.02²), no bias at first."""

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_features:
            nn.init.normal_(self.weight, 0.0, STD)
            nn.init.zeros_(self.bias)


class PatchNCE:
    """Cross entropy of finding a patch's source among `patches` random places of the same picture (equations 2 and 3).

    features: maps of the source, a list of (N, C_l, H_l, W_l); fake_features: those of its translation, through which
    alone a gradient flows. `layers` says which maps are compared (all by default), each by a head of its own of the
    projector H. Similarities are divided by `temperature`. A mean over layers, pictures and patches, so that a weight
    means the same whatever their number.

    ValueError: more layers than H has heads, or than there are maps; a head that another loss uses for
    another layer.
    """

    def __init__(
        self,
        *,
        layers: Annotated[list[NonNegativeInt], Field(min_length=1)] | None = None,
        patches: Patches = 256,
        temperature: Temperature = 0.07,
    ) -> None:
        self.layers, self.patches, self.temperature = layers, patches, temperature

    def __call__(
        self, projector: Any, features: list[Tensor], fake_features: list[Tensor], normal: Callable[..., Tensor]
    ) -> Tensor:
        layers = list(range(len(features))) if self.layers is None else self.layers
        if max(layers) >= len(features) or len(layers) > len(projector.heads):
            raise ValueError(
                f"patch_nce compares layers {layers}: there are {len(features)} maps of features, and the "
                f"projector has {len(projector.heads)} heads; set layers of both"
            )
        sizes = [features[layer].shape[2] * features[layer].shape[3] for layer in layers]
        draws = normal(sum(sizes)).split(sizes, dim=1)
        losses = []
        for head, (layer, draw) in enumerate(zip(layers, draws, strict=True)):
            known, channels = projector.heads[head][0].in_features, features[layer].shape[1]
            if known not in (0, channels):
                raise ValueError(
                    f"layer {layer} has {channels} channels, and head {head} of the projector takes "
                    f"{known}, as another loss has it; losses that share a projector compare the same "
                    f"layers"
                )
            places = draw.topk(min(self.patches, draw.shape[1]), dim=1).indices
            with torch.no_grad():
                keys = projector(head, take(features[layer], places))
            queries = projector(head, take(fake_features[layer], places))
            similarities = torch.einsum("nqc,nkc->nqk", queries, keys) / self.temperature
            own = torch.arange(places.shape[1], device=places.device).expand(len(places), -1)
            losses.append(F.cross_entropy(similarities.flatten(0, 1), own.flatten()))
        return torch.stack(losses).mean()


def take(features: Tensor, places: Tensor) -> Tensor:
    """Features (N, C, H, W) at places (N, P), counted in rows: (N, P, C)."""
    flat = features.flatten(2)
    return flat.gather(2, places.unsqueeze(1).expand(-1, flat.shape[1], -1)).transpose(1, 2)


class Features:
    """What the named layers of a generator say about pictures, for PatchNCE on networks that do not tell by themselves.

    `layers`: names of modules of the generator, as its `named_modules` has them (`encode.1`).
    x (N, 3, H, W) is encoded by `generator.encode`, and the layers' outputs (N, C_l, H_l, W_l) come as a list.

    ValueError: a layer that the generator does not have, or that its encoding does not use.
    """

    def __init__(self, *, layers: Annotated[list[str], Field(min_length=1)]) -> None:
        self.layers = layers

    def __call__(self, generator: Any, x: Tensor) -> list[Tensor]:
        found: dict[str, Tensor] = {}
        modules = dict(generator.named_modules())
        for layer in self.layers:
            if layer not in modules:
                hint = did_you_mean(layer, filter(None, modules)) or f"it begins with {', '.join(list(modules)[1:9])}"
                raise ValueError(f"the generator has no layer {layer} ({hint})")
        handles = [modules[layer].register_forward_hook(partial(_keep, found, layer)) for layer in self.layers]
        try:
            generator.encode(x)
        finally:
            for handle in handles:
                handle.remove()
        if unused := [layer for layer in self.layers if layer not in found]:
            raise ValueError(f"the generator's encoder does not use the layer {unused[0]}")
        return [found[layer] for layer in self.layers]


def _keep(found: dict[str, Tensor], layer: str, module: nn.Module, given: object, made: Tensor) -> None:
    found[layer] = made
