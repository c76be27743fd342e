"""PatchNCE, the patchwise contrastive loss of CUT (Park et al. 2020, section 3)."""

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
    """Projection heads H_l: one MLP of two layers for each compared feature map (section 3).

    Head l maps features (..., C_l) to unit vectors (..., `width`). It gets its number of input channels C_l from the
    first batch.

    layers: number of heads.
    width: length of the vectors, and number of hidden units.
    """

    def __init__(self, *, layers: PositiveInt = 5, width: PositiveInt = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(LazyNormalLinear(width), nn.ReLU(), LazyNormalLinear(width)) for _ in range(layers)
        )

    def forward(self, layer: int, features: Tensor) -> Tensor:
        """Apply head number `layer` to features (..., C_l); returns unit vectors (..., width)."""
        return F.normalize(self.heads[layer](features), dim=-1)


class LazyNormalLinear(nn.LazyLinear):
    """Linear layer of unknown input size, with weights from N(0, 0.02²) and bias zero."""

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_features:
            nn.init.normal_(self.weight, 0.0, STD)
            nn.init.zeros_(self.bias)


class PatchNCE:
    """Patchwise contrastive loss PatchNCE (equations 2 and 3), averaged over layers, pictures and patches.

    For each patch of the translation, the positive is the patch of the source at the same place. The negatives are
    other patches of the same source picture. The loss is the cross entropy of classifying the positive.

    features: feature maps of the source, a list of (N, C_l, H_l, W_l), without gradient.
    fake_features: feature maps of the translation, of the same shapes.
    layers: indices of the compared maps; all by default. Each is compared with its own head of the projector H.
    patches: number of random places for each picture and layer.
    temperature: τ, the divisor of the similarities.

    Raises ValueError if there are more layers than heads of H, if a map does not exist, or if a head is used by another
    loss for a map with another number of channels.
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
                f"patch_nce compares layers {layers}, but there are {len(features)} feature maps and the "
                f"projector has {len(projector.heads)} heads; set layers of both"
            )
        sizes = [features[layer].shape[2] * features[layer].shape[3] for layer in layers]
        draws = normal(sum(sizes)).split(sizes, dim=1)
        losses = []
        for head, (layer, draw) in enumerate(zip(layers, draws, strict=True)):
            known, channels = projector.heads[head][0].in_features, features[layer].shape[1]
            if known not in (0, channels):
                raise ValueError(
                    f"layer {layer} has {channels} channels, but head {head} of the projector takes "
                    f"{known}, as for another loss; losses that share a projector must compare the same "
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
    """Select features (N, C, H, W) at the places (N, P), numbered row by row; returns (N, P, C)."""
    flat = features.flatten(2)
    return flat.gather(2, places.unsqueeze(1).expand(-1, flat.shape[1], -1)).transpose(1, 2)


class Features:
    """Outputs of chosen layers of a generator, for PatchNCE with networks whose `encode` returns no feature maps.

    Input: x, pictures (N, 3, H, W), which are passed to `generator.encode`. Output: a list of (N, C_l, H_l, W_l).

    layers: names of modules of the generator, as in its `named_modules`, such as `encode.1`.

    Raises ValueError if the generator does not have a layer, or `encode` does not use it.
    """

    def __init__(self, *, layers: Annotated[list[str], Field(min_length=1)]) -> None:
        self.layers = layers

    def __call__(self, generator: Any, x: Tensor) -> list[Tensor]:
        found: dict[str, Tensor] = {}
        modules = dict(generator.named_modules())
        for layer in self.layers:
            if layer not in modules:
                firsts = f"its first layers are {', '.join(list(modules)[1:9])}"
                hint = did_you_mean(layer, filter(None, modules)) or firsts
                raise ValueError(f"the generator has no layer {layer} ({hint})")
        handles = [modules[layer].register_forward_hook(partial(_keep, found, layer)) for layer in self.layers]
        try:
            generator.encode(x)
        finally:
            for handle in handles:
                handle.remove()
        if unused := [layer for layer in self.layers if layer not in found]:
            raise ValueError(f"the generator's encoder does not use the layer {unused[0]}; choose other layers")
        return [found[layer] for layer in self.layers]


def _keep(found: dict[str, Tensor], layer: str, module: nn.Module, given: object, made: Tensor) -> None:
    found[layer] = made
