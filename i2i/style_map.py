"""The plane on which a domain's styles differ most."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from i2i.translator import MEAN_OF, Style, Translator
from i2i_core.errors import UsageError


@dataclass(frozen=True)
class StyleMap:
    """Styles on a plane through a domain's mean style."""

    styles: list[list[Style]]
    """Rows from the top; the mean style is in the middle."""
    explained: tuple[float, float]
    """Shares of the variance of styles from latents along the two axes, first across, then down."""
    deviation: float
    """Root mean square distance of a style from the mean style, as a share of the mean style's length."""


def style_map(model: Translator, domain: str, cells: int, reach: float) -> StyleMap:
    """The two principal components of a domain's styles from latents, from -reach to reach standard deviations."""
    y = model.domain(domain)
    if not model.guides.get("latent"):
        raise UsageError("the model has no styles from latents to make a map of")
    codes = model.sample_codes(y, MEAN_OF)
    flat = torch.cat([code.flatten(1) for code in codes.values()], dim=1).double()
    mean = flat.mean(0)
    _, singular, axes = torch.linalg.svd(flat - mean, full_matrices=False)
    variances = singular.square() / (len(flat) - 1)
    if len(variances) == 1:  # codes of one number: a line
        variances, axes = (torch.cat([found, torch.zeros_like(found)]) for found in (variances, axes))
    total = variances.sum().clamp_min(torch.finfo(flat.dtype).tiny)
    steps = torch.linspace(-reach, reach, cells).tolist()

    def at(right: float, down: float) -> Style:
        point = mean + right * variances[0].sqrt() * axes[0] + down * variances[1].sqrt() * axes[1]
        parts = point.to(model.dtype).split([code[0].numel() for code in codes.values()])
        return Style(
            y, {name: part.reshape(1, *code.shape[1:]) for (name, code), part in zip(codes.items(), parts, strict=True)}
        )

    return StyleMap(
        [[at(right, down) for right in steps] for down in steps],
        (float(variances[0] / total), float(variances[1] / total)),
        float(total.sqrt() / mean.norm()),
    )
