"""DiffAugment: differentiable augmentation for data-efficient GAN training (Zhao et al. 2020)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from i2i_core.recipe.names import Names

from .augmented import Augmented, pick

Policy = Literal["color", "translation", "cutout"]


class DiffAugment(Augmented):
    """A discriminator that sees every picture, real or fake, augmented by each of `policy` (Zhao et al. 2020).

    color: brightness, saturation, contrast. translation: by up to an eighth of the size. cutout: a square of half
    the size is blanked. They act in the order in which `policy` names them; nothing in eval mode. The pictures of a
    call, (N, C, H, W) in [-1, 1], are augmented alike; other arguments pass through.
    """

    def __init__(self, network: nn.Module, policy: Names[Policy] = ["color", "translation", "cutout"]) -> None:  # noqa: B006
        super().__init__(network)
        self.policy = policy

    def draw(self, n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Uniform in [0, 1): (augmentations, 3, N)."""
        return torch.rand(len(self.policy), 3, n, device=device, dtype=dtype)

    def augment(self, x: Tensor, draws: Tensor) -> Tensor:
        for name, u in zip(self.policy, draws, strict=True):
            x = AUGMENTATIONS[name](x, u)
        return x


def color(x: Tensor, u: Tensor) -> Tensor:
    """Brightness + [-0.5, 0.5), saturation × [0, 2), contrast × [0.5, 1.5), each from a row of u (3, N) in [0, 1).

    Saturation scales what differs from the mean over channels, contrast what differs from the picture's mean.
    """
    brightness, saturation, contrast = u[:, :, None, None, None].unbind()
    x = x + (brightness - 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translation(x: Tensor, u: Tensor) -> Tensor:
    """Shift by whole pixels, up to an eighth of the size either way, with zeros where nothing was.

    Rows 0 and 1 of u in [0, 1) say how far down and right.
    """
    down, right = (_whole(share, 2 * (size // 8) + 1) - size // 8 for share, size in zip(u, x.shape[2:], strict=False))
    rows, columns = _grid(x)
    rows, columns = rows - down, columns - right
    inside = _between(rows, 0, x.shape[2]) & _between(columns, 0, x.shape[3])
    return pick(x, rows.clamp(0, x.shape[2] - 1), columns.clamp(0, x.shape[3] - 1)) * inside[:, None]


def cutout(x: Tensor, u: Tensor) -> Tensor:
    """Zeros in a rectangle of half the height and width around a pixel; what lies outside the picture is lost.

    Rows 0 and 1 of u in [0, 1) say which pixel.
    """
    rows, columns = _grid(x)
    top, left = (_whole(share, size) - size // 4 for share, size in zip(u, x.shape[2:], strict=False))
    cut = _between(rows, top, top + x.shape[2] // 2) & _between(columns, left, left + x.shape[3] // 2)
    return x * ~cut[:, None]


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


def _grid(x: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (1, H, 1) and columns (1, 1, W) of a picture."""
    height, width = (torch.arange(size, device=x.device) for size in x.shape[2:])
    return height[None, :, None], width[None, None, :]


def _whole(share: Tensor, count: int) -> Tensor:
    """One of the whole numbers below `count` for each share in [0, 1), as (N, 1, 1)."""
    return (share * count).long().clamp(max=count - 1)[:, None, None]  # for a share that rounds up to 1


def _between(places: Tensor, start: Tensor | int, stop: Tensor | int) -> Tensor:
    return (places >= start) & (places < stop)
