"""VGG19 as a network of features for the perceptual loss (Simonyan and Zisserman 2015)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from i2i_core.disk.foreign import read, state_dict

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of convolutions of each block; a max pooling follows each."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pictures in [0, 1], by channel, with which VGG19 was trained."""
NAMES = tuple(f"conv{block}_{n}" for block, (_, count) in enumerate(BLOCKS, 1) for n in range(1, count + 1))


class VGG19(nn.Module):
    """Features of VGG19 before the activation of one layer, φ (Wang et al. 2018, section 3.3).

    Input: x (N, 3, H, W) in [-1, 1]. Output: the result of a convolution, without its ReLU, (N, K, H', W').

    weights: file with the tensors of torchvision's VGG19 trained on ImageNet, vgg19-dcbb9e9d.pth, or the same as
        .safetensors. Its code is not executed. Tensors of further layers are ignored.
    layer: name of the convolution, convI_J for the J-th of block I; the paper: conv5_4.

    Set frozen: true in the recipe. Raises ValueError for an unknown layer, and for a file that is unreadable, is
    refused or does not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, weights: Path, layer: str = "conv5_4") -> None:
        super().__init__()
        if layer not in NAMES:
            raise ValueError(f"VGG19 has no layer {layer}; write one of {', '.join(NAMES)}")
        self.features = layers_up_to(layer)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        _fill(self, weights)

    def forward(self, x: Tensor) -> Tensor:
        """Return φ(x), (N, K, H', W')."""
        found: Tensor = self.features(((x + 1) / 2 - self.mean) / self.std)
        return found


def layers_up_to(last: str) -> nn.Sequential:
    """Create the layers up to a convolution, with the numbers that torchvision gives them."""
    layers, before, names = list[nn.Module](), 3, iter(NAMES)
    for channels, count in BLOCKS:
        for _ in range(count):
            layers.append(nn.Conv2d(before, channels, 3, padding=1))
            if next(names) == last:
                return nn.Sequential(*layers)
            layers.append(nn.ReLU())
            before = channels
        layers.append(nn.MaxPool2d(2))
    raise AssertionError(last)


def _fill(network: VGG19, path: Path) -> None:
    """Load the weights of a file. Raises ValueError if it is unreadable or does not fit."""
    try:
        found = state_dict(read(path))
    except OSError as error:
        where = "the README of i2i-gan-esrgan says what to fetch"
        raise ValueError(f"cannot read the weights of VGG19 {path}: {error.strerror}; {where}") from error
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        shape = list(found[name].shape) if name in found else None
        if shape != list(tensor.shape):
            has = f"has {name} with the shape {shape}" if shape else f"lacks {name}"
            raise ValueError(f"{path} {has}; VGG19 needs it with {list(tensor.shape)}: fetch vgg19-dcbb9e9d.pth")
    network.load_state_dict({name: found[name] for name in wanted}, assign=True)
