"""Pre-activation residual blocks of unit variance (StarGAN v2, appendix, "Network architecture")."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resample import DownConv, UpConv

SLOPE = 0.2
"""Negative slope of every LeakyReLU."""


def widths(image_size: tuple[int, int], channel_base: int, max_channels: int) -> list[int]:
    """Return the number of channels at full size and after each halving, until the shorter side is 4 to 7 pixels.

    The first number is `channel_base` / shorter side. It doubles at each halving, up to `max_channels`.

    Raises ValueError if a side is below 16, if a side cannot be halved that often, or if `channel_base` is smaller
    than the shorter side.
    """
    height, width = image_size
    side = min(image_size)
    size = f"image_size {height}x{width}"
    if side < 16:
        raise ValueError(f"{size} is too small for StarGAN v2: both sides must be at least 16.")
    halvings = side.bit_length() - 3
    unit = 2**halvings
    if height % unit or width % unit:
        raise ValueError(
            f"{size} cannot be halved {halvings} times: with a shorter side of {side} both sides must be "
            f"multiples of {unit}, for example {height // unit * unit}x{width // unit * unit}."
        )
    if channel_base < side:
        raise ValueError(f"channel_base {channel_base} leaves no channels for {size}: give at least {side}.")
    return [min(channel_base // side * 2**level, max_channels) for level in range(halvings + 1)]


def he_init(module: nn.Module) -> None:
    """Initialise a convolution or linear layer after He et al. (fan-in, gain of ReLU) and set its bias to zero.

    Pass this function to `nn.Module.apply`. Other modules are left unchanged.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Normalise each feature map of x (N, C, H, W) to mean 0 and variance 1, then scale and shift it.

    scale, shift: (N, C) or (C,).
    """
    if torch.compiler.is_exporting():  # one operation that ONNX has
        return F.instance_norm(x) * scale[..., None, None] + shift[..., None, None]
    n, c, h, w = x.shape
    scale, shift = scale.expand(n, c), shift.expand(n, c)
    if x.is_contiguous():  # a batch norm of one sample with N*C channels is one kernel
        maps = F.batch_norm(x.view(1, n * c, h, w), None, None, scale.flatten(), shift.flatten(), training=True)
        out: Tensor = torch.ops.aten._unsafe_view(maps, x.shape)  # no view of `maps` for autograd, so in-place
        return out  # operations may follow
    if x.device.type == "cpu" and not torch.compiler.is_compiling():  # channels last: batch norm is the fastest way
        samples = zip(x.split(1), scale, shift, strict=True)
        return torch.cat([F.batch_norm(maps, None, None, gain, bias, training=True) for maps, gain, bias in samples])
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    scale = scale[:, :, None, None] * torch.rsqrt(variance + 1e-5)
    return x * scale + (shift[:, :, None, None] - mean * scale)


def leaky_relu_(x: Tensor) -> Tensor:
    """Apply LeakyReLU in place to the output of a norm or a convolution.

    This is safe because the backward pass of these layers needs their inputs, not their outputs.
    """
    return F.leaky_relu(x, SLOPE, inplace=True)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalisation with learned scale and shift per channel."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x, self.weight, self.bias)


class ResBlk(nn.Module):
    """Residual block: maps (N, dim_in, H, W) to (N, dim_out, H, W), or to half of H and W with `downsample`.

    `normalize` adds instance normalisation. The encoder of G uses it; E and D do not.
    """

    def __init__(self, dim_in: int, dim_out: int, *, normalize: bool = False, downsample: bool = False) -> None:
        super().__init__()
        self.downsample = downsample
        self.conv1 = DownConv(dim_in, dim_in) if downsample else nn.Conv2d(dim_in, dim_in, 3, padding=1)
        self.conv2 = nn.Conv2d(dim_in, dim_out, 3, padding=1)
        self.norm1 = InstanceNorm(dim_in, affine=True) if normalize else None
        self.norm2 = InstanceNorm(dim_in, affine=True) if normalize else None
        self.conv1x1 = nn.Conv2d(dim_in, dim_out, 1, bias=False) if dim_in != dim_out else None

    def forward(self, x: Tensor) -> Tensor:
        return (self._shortcut(x) + self._residual(x)).div_(math.sqrt(2))

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.downsample:
            x = F.avg_pool2d(x, 2)  # pooling commutes with the 1x1 convolution, which is cheaper at half the size
        if self.conv1x1 is not None:
            x = self.conv1x1(x)
        return x

    def _residual(self, x: Tensor) -> Tensor:
        x = self.conv1(F.leaky_relu(x, SLOPE) if self.norm1 is None else leaky_relu_(self.norm1(x)))
        if self.norm2 is not None:
            x = self.norm2(x)
        x = self.conv2(leaky_relu_(x))
        return x


class AdaIN(nn.Module):
    """Adaptive instance normalisation: AdaIN(x, s) = (1 + γ(s)) IN(x) + β(s).

    γ and β are affine functions of the style code s (N, style_dim). x and the result are (N, dim, H, W).
    """

    def __init__(self, style_dim: int, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style_dim, 2 * dim)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        # Batch norm requires scale and shift in the precision of the weights, under autocast too.
        gamma, beta = self.fc(s).to(self.fc.bias.dtype).chunk(2, dim=1)
        return instance_norm(x, 1 + gamma, beta)


class AdainResBlk(nn.Module):
    """Residual block with AdaIN: maps x (N, dim_in, H, W) and s (N, style_dim) to (N, dim_out, H, W).

    With `upsample` the result has twice the height and width.

    Without `shortcut` the block returns its residual branch, without the division by √2. This is the paper's
    network for faces. The 1x1 convolution of the shortcut stays, frozen, because published checkpoints contain it.
    """

    def __init__(
        self, dim_in: int, dim_out: int, style_dim: int, *, upsample: bool = False, shortcut: bool = True
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.shortcut = shortcut
        self.conv1 = UpConv(dim_in, dim_out) if upsample else nn.Conv2d(dim_in, dim_out, 3, padding=1)
        self.conv2 = nn.Conv2d(dim_out, dim_out, 3, padding=1)
        self.norm1 = AdaIN(style_dim, dim_in)
        self.norm2 = AdaIN(style_dim, dim_out)
        self.conv1x1 = nn.Conv2d(dim_in, dim_out, 1, bias=False) if dim_in != dim_out else None
        if self.conv1x1 is not None:
            self.conv1x1.requires_grad_(shortcut)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        residual = self._residual(x, s)
        return (residual + self._shortcut(x)).div_(math.sqrt(2)) if self.shortcut else residual

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.conv1x1 is not None:
            x = self.conv1x1(x)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.upsample else x

    def _residual(self, x: Tensor, s: Tensor) -> Tensor:
        x = self.conv1(leaky_relu_(self.norm1(x, s)))
        x = self.conv2(leaky_relu_(self.norm2(x, s)))
        return x
