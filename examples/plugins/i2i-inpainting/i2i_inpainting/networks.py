"""The completion network, and the discriminator of the whole picture and of the hole (sections 4.1 to 4.3)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from .patches import Size, patch

Norm = Literal["batch", "none"]


class CompletionNetwork(nn.Module):
    """Completion network C with dilated convolutions (Iizuka et al. 2017, section 4.1, table 1).

    Input: x (N, 3, H, W) in [-1, 1], whose hole may have any content, and the mask of the hole (N, 1, H, W). Output: a
    whole picture (N, 3, H, W) in [-1, 1].

    Two convolutions with stride 2 reduce the picture to a quarter of its size, and two transposed ones restore it.

    width: channels of the first layer; those in the middle have four times as many. The paper: 64.
    dilations: dilations of the convolutions in the middle. They let a pixel of the hole see its surroundings.
    norm: batch norm after each convolution, as in the paper, or none.

    Raises ValueError for sides that are no multiples of 4.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        width: PositiveInt = 64,
        dilations: tuple[PositiveInt, ...] = (2, 4, 8, 16),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if any(side % 4 for side in image_size):
            raise ValueError(f"image_size {image_size[0]} x {image_size[1]}: both sides must be multiples of 4")
        half, middle = 2 * width, 4 * width
        layers = [*_conv(4, width, 5, norm), *_conv(width, half, 3, norm, stride=2), *_conv(half, half, 3, norm)]
        layers += _conv(half, middle, 3, norm, stride=2)
        for dilation in (1, 1, *dilations, 1, 1):
            layers += _conv(middle, middle, 3, norm, dilation=dilation)
        layers += [*_up(middle, half, norm), *_conv(half, half, 3, norm), *_up(half, width, norm)]
        layers += _conv(width, max(width // 2, 1), 3, norm)
        self.layers = nn.Sequential(*layers, nn.Conv2d(max(width // 2, 1), 3, 3, padding=1), nn.Tanh())
        self.apply(_initialise)

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        """Return C(x, M_c), (N, 3, H, W) in [-1, 1]."""
        made: Tensor = self.layers(torch.cat([x, hole], dim=1))
        return made


class ContextDiscriminator(nn.Module):
    """Discriminator D of the whole picture and of a patch around the hole (Iizuka et al. 2017, section 4.2, table 2).

    Input: x (N, 3, H, W) in [-1, 1] and the mask of the hole (N, 1, H, W). Output: logits (N, 1).

    The patch has half the height and width of the picture and is centred at the hole, as far as it fits. Picture and
    patch go through convolutions with stride 2 down to at most 4 pixels, and become vectors. A linear layer makes the
    logit of both.

    width: channels of the first layer; they double with each layer, up to 8 times `width`. The paper: 64.
    features: length of each of the two vectors. The paper: 1024.
    norm: batch norm after each convolution, as in the paper, or none.

    Raises ValueError for sides below 16 pixels.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        width: PositiveInt = 64,
        features: PositiveInt = 1024,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if min(image_size) < 16:
            raise ValueError(f"image_size {image_size[0]} x {image_size[1]}: both sides must be at least 16 pixels")
        self.patch_size = (image_size[0] // 2, image_size[1] // 2)
        self.whole = _encoder(image_size, width, features, norm)
        self.local = _encoder(self.patch_size, width, features, norm)
        self.logit = nn.Linear(2 * features, 1)
        self.apply(_initialise)

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        """Return the logits D(x, M), (N, 1)."""
        vectors = [self.whole(x), self.local(patch(x, hole, self.patch_size))]
        logits: Tensor = self.logit(torch.cat(vectors, dim=1))
        return logits


def _encoder(size: Size, width: int, features: int, norm: Norm) -> nn.Sequential:
    """Create convolutions with stride 2 down to at most 4 pixels, and a linear layer."""
    layers, before, (height, width_left) = list[nn.Module](), 3, size
    while min(height, width_left) > 4:
        after = width * min(2 ** (len(layers) // len(_conv(1, 1, 1, norm))), 8)
        layers += _conv(before, after, 5, norm, stride=2)
        before, height, width_left = after, (height + 1) // 2, (width_left + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * height * width_left, features), nn.ReLU())


def _conv(
    before: int, after: int, kernel: int, norm: Norm, stride: PositiveInt = 1, dilation: NonNegativeInt = 1
) -> list[nn.Module]:
    """Create a convolution that keeps the size up to its stride, a norm and a ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(before, after, kernel, stride, padding, dilation)
    return [conv, *_norm(norm, after), nn.ReLU()]


def _up(before: int, after: int, norm: Norm) -> list[nn.Module]:
    """Create a transposed convolution that doubles the size, a norm and a ReLU."""
    return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), *_norm(norm, after), nn.ReLU()]


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


def _initialise(module: nn.Module) -> None:
    """Initialise weights so that ReLUs keep the scale of their inputs (He et al. 2015); biases are 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
