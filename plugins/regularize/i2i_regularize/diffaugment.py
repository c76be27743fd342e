"""DiffAugment, differentiable augmentation for data-efficient GAN training (Zhao et al. 2020)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from i2i_core.recipe.names import Names

from .augmented import Augmented, pick

Policy = Literal["color", "translation", "cutout"]


class DiffAugment(Augmented):
    """Discriminator behind the differentiable augmentations of DiffAugment (Zhao et al. 2020).

    network: the discriminator.
    policy: augmentations, applied in this order to real and fake pictures:
        color: random brightness, saturation and contrast;
        translation: random shift by up to an eighth of the size;
        cutout: a random rectangle of half the height and width is set to 0.

    Input: pictures (N, C, H, W) in [-1, 1]. All pictures of one call are augmented with the same parameters. Other
    arguments are passed on unchanged. In eval mode nothing is augmented.
    """

    def __init__(self, network: nn.Module, policy: Names[Policy] = ["color", "translation", "cutout"]) -> None:  # noqa: B006
        super().__init__(network)
        self.policy = policy

    def draw(self, n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Draw uniform numbers in [0, 1), (augmentations, 3, n)."""
        return torch.rand(len(self.policy), 3, n, device=device, dtype=dtype)

    def augment(self, x: Tensor, draws: Tensor) -> Tensor:
        for name, u in zip(self.policy, draws, strict=True):
            x = AUGMENTATIONS[name](x, u)
        return x


def color(x: Tensor, u: Tensor) -> Tensor:
    """Change brightness, saturation and contrast of x (N, C, H, W).

    u: uniform numbers in [0, 1), (3, N). Row 0 gives the brightness that is added, in [-0.5, 0.5). Row 1 gives the
        factor of saturation, in [0, 2), which scales differences from the mean over channels. Row 2 gives the factor of
        contrast, in [0.5, 1.5), which scales differences from the mean of the picture.
    """
    brightness, saturation, contrast = u[:, :, None, None, None].unbind()
    x = x + (brightness - 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translation(x: Tensor, u: Tensor) -> Tensor:
    """Shift x (N, C, H, W) by whole pixels, up to an eighth of its size in each direction, and pad with zeros.

    u: uniform numbers in [0, 1), (3, N). Rows 0 and 1 give the shift down and right; row 2 is not used.
    """
    down, right = (_whole(share, 2 * (size // 8) + 1) - size // 8 for share, size in zip(u, x.shape[2:], strict=False))
    rows, columns = _grid(x)
    rows, columns = rows - down, columns - right
    inside = _between(rows, 0, x.shape[2]) & _between(columns, 0, x.shape[3])
    return pick(x, rows.clamp(0, x.shape[2] - 1), columns.clamp(0, x.shape[3] - 1)) * inside[:, None]


def cutout(x: Tensor, u: Tensor) -> Tensor:
    """Set a rectangle of half the height and width of x (N, C, H, W) to 0; it may extend beyond the picture.

    u: uniform numbers in [0, 1), (3, N). Rows 0 and 1 give the row and column of its centre; row 2 is not used.
    """
    rows, columns = _grid(x)
    top, left = (_whole(share, size) - size // 4 for share, size in zip(u, x.shape[2:], strict=False))
    cut = _between(rows, top, top + x.shape[2] // 2) & _between(columns, left, left + x.shape[3] // 2)
    return x * ~cut[:, None]


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


def _grid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of rows (1, H, 1) and columns (1, 1, W) of x."""
    height, width = (torch.arange(size, device=x.device) for size in x.shape[2:])
    return height[None, :, None], width[None, None, :]


def _whole(share: Tensor, count: int) -> Tensor:
    """Map each share in [0, 1) to an integer in [0, count), as (N, 1, 1)."""
    return (share * count).long().clamp(max=count - 1)[:, None, None]  # a share may be rounded to 1


def _between(places: Tensor, start: Tensor | int, stop: Tensor | int) -> Tensor:
    return (places >= start) & (places < stop)
