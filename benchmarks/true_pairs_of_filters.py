"""Scores of simple image filters in the metric `true_pairs` of the quick start, as a reference for trained models.

    python -m benchmarks.true_pairs_of_filters

The score is the share of held-out emoji whose filtered picture is nearest, at 16 px, to its true pair.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_core.data.formats.picture import Picture
from i2i_emoji.drawings import Drawings


def pictures(drawings: Drawings, domain: int) -> Tensor:
    """Return all pictures of a domain, (N, 3, 64, 64) in [0, 255]."""
    tensors = [Picture().fit(drawings.picture(domain, i), (64, 64)) for i in range(drawings.count(domain))]
    return torch.stack(tensors).float()


def share(made: Tensor, targets: Tensor, size: int = 16) -> float:
    """Return the share of pictures whose nearest target is the one of the same index."""
    a, b = (F.interpolate(t, size=(size, size), mode="area").flatten(1) for t in (made, targets))
    return float((torch.cdist(a, b).argmin(1) == torch.arange(len(a))).float().mean())


def edges(x: Tensor, reach: int) -> Tensor:
    """Return the edges (N, 1, H, W): 1 where values within `reach` pixels differ by over 60 in a channel, else 0."""
    span = F.max_pool2d(x, reach, 1, reach // 2) + F.max_pool2d(-x, reach, 1, reach // 2)
    return (span.amax(1, keepdim=True) > 60).float()


def inside(ink: Tensor) -> Tensor:
    """Return the ink and the areas it encloses, which cannot be reached from the border."""
    outside = torch.zeros_like(ink)
    outside[..., (0, -1), :] = 1
    outside[..., :, (0, -1)] = 1
    for _ in range(200):
        outside = F.max_pool2d(outside * (1 - ink), 3, 1, 1) * (1 - ink)
    return 1 - outside


def main() -> None:
    drawings = Drawings(split="val")
    flat, line = pictures(drawings, 0), pictures(drawings, 1)
    grey = flat.mean(1, keepdim=True)
    rows = {"flat -> line art, untranslated": share(flat, line)}
    for reach in (3, 5):
        white = 255 * (1 - edges(flat, reach))
        rows[f"flat -> line art, edges of {reach} px"] = share(white.expand_as(flat), line)
        rows[f"flat -> line art, edges of {reach} px and half the grey"] = share(
            (white * (0.5 + 0.5 * grey / 255)).expand_as(flat), line
        )
    ink = ((line - 255).abs().amax(1, keepdim=True) > 40).float()
    drawn = ((flat - 255).abs().amax(1, keepdim=True) > 12).float()
    colour = ((flat * drawn).sum((0, 2, 3)) / drawn.sum()).view(1, 3, 1, 1)
    filled = inside(ink) * colour + (1 - inside(ink)) * 255
    rows["line art -> flat, untranslated"] = share(line, flat)
    rows["line art -> flat, filled with the mean colour"] = share(filled, flat)
    rows["line art -> flat, half filled, half lines"] = share((filled + line) / 2, flat)
    for name, value in rows.items():
        print(f"{name:58} {value:.1%}")


if __name__ == "__main__":
    main()
