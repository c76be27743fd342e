"""Maps of the styles of a domain, along their first two principal components."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from i2i.style import Style
from i2i.translator import MEAN_OF, Translator
from i2i_core.errors import UsageError
from i2i_core.plan.uses import LATENT


@dataclass(frozen=True)
class StyleMap:
    """Styles on a plane through a domain's mean style."""

    styles: list[list[Style]]
    """Rows from the top; the mean style is in the centre."""
    explained: tuple[float, float]
    """Shares of the variance of styles from latents along the horizontal and the vertical axis."""
    deviation: float
    """Root mean square distance of styles from the mean style, relative to the length of the mean style."""


def style_map(model: Translator, domain: str, cells: int, reach: float) -> StyleMap:
    """Map a domain's styles from latents along two principal components, from -reach to reach standard deviations."""
    y = model.domain(domain, model.use_of(LATENT, domain=domain))
    if (use := model.mean_use(y)) is None:
        raise UsageError("the model has no styles from latents, so it has no map of styles")
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
            use.name,
            y,
            {name: part.reshape(1, *code.shape[1:]) for (name, code), part in zip(codes.items(), parts, strict=True)},
        )

    return StyleMap(
        [[at(right, down) for right in steps] for down in steps],
        (float(variances[0] / total), float(variances[1] / total)),
        float(total.sqrt() / mean.norm()),
    )
