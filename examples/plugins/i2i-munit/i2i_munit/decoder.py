"""The decoder of a domain (section 5.1 and appendix B.2)."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from .layers import AdaINBlock, conv, init_kaiming


class Decoder(nn.Module):
    """Decoder G: a picture of a content and a style (Huang et al. 2018, section 5.1 and appendix B.2).

    Input: content c (N, 4 `width`, h, w) and style s (N, `style_dim`). Output: G(c, s), (N, `channels`, 4 h, 4 w) in
    [-1, 1].

    The layers are residual blocks R256 with AdaIN, u128, u64 and c7s1-3: nearest-neighbour upsampling, convolutions
    with reflection padding, layer norm and ReLU, with tanh at the end. A multilayer perceptron makes γ and β of AdaIN
    from s.

    channels: channels of pictures of the domain.
    width: 64 above, the same as the content encoder's. blocks: number of residual blocks.
    style_dim: dimension of s. mlp_width: channels of the two hidden layers of the perceptron.
    """

    def __init__(
        self,
        *,
        channels: PositiveInt = 3,
        width: PositiveInt = 64,
        blocks: PositiveInt = 4,
        style_dim: PositiveInt = 8,
        mlp_width: PositiveInt = 256,
    ) -> None:
        super().__init__()
        self.style_dim, self.shape = style_dim, (2 * blocks, 2, 4 * width)
        last = nn.Linear(mlp_width, 2 * blocks * 2 * 4 * width)
        self.mlp = nn.Sequential(
            nn.Linear(style_dim, mlp_width), nn.ReLU(), nn.Linear(mlp_width, mlp_width), nn.ReLU(), last
        )
        self.blocks = nn.ModuleList(AdaINBlock(4 * width) for _ in range(blocks))
        self.up = nn.Sequential(
            *upsampled(4 * width, 2 * width), *upsampled(2 * width, width), conv(width, channels, 7), nn.Tanh()
        )
        self.apply(init_kaiming)
        with torch.no_grad():  # at first γ varies around 1 and β around 0
            last.bias.view(self.shape)[:, 0] = 1

    def forward(self, c: Tensor, s: Tensor) -> Tensor:
        """Return G(c, s), (N, `channels`, 4 h, 4 w)."""
        norms = self.mlp(s).unflatten(1, self.shape)
        for n, block in enumerate(self.blocks):
            c = block(c, norms[:, 2 * n], norms[:, 2 * n + 1])
        x: Tensor = self.up(c)
        return x


def upsampled(before: int, after: int) -> list[nn.Module]:
    """Create u-`after`: upsampling, a 5 x 5 convolution, a layer norm over (C, H, W) and a ReLU."""
    return [nn.Upsample(scale_factor=2), conv(before, after, 5), nn.GroupNorm(1, after), nn.ReLU()]
