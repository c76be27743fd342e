"""3x3 convolutions before or after resampling by 2, merged into one 4x4 convolution that costs less.

Resampling by 2 and a 3x3 convolution are both linear. Together they are one 4x4 convolution of stride 2 (transposed
for upsampling), whose kernel is a linear function of the 3x3 kernel. This needs 16 instead of 36 multiplications per
low-resolution pixel. Each class has both forms: `plain` follows the definition, `merged` is cheaper.

In one dimension, with taps w0 w1 w2 and zeros outside the picture:

    conv, then average     y[i] = (c[2i] + c[2i+1]) / 2   with   c[p] = w0 x[p-1] + w1 x[p] + w2 x[p+1]
                                = (w0 x[2i-1] + (w0+w1) x[2i] + (w1+w2) x[2i+1] + w2 x[2i+2]) / 2
    nearest, then conv     y[2i]   = w0 x[i-1] + (w1+w2) x[i]
                           y[2i+1] = (w0+w1) x[i] + w2 x[i+1],   so that x[i] reaches
                           y[2i-1], y[2i], y[2i+1], y[2i+2]   with   w2, w1+w2, w0+w1, w0

Both are a convolution of stride 2 and padding 1 (the second transposed) with four taps: DOWN w / 2 for the average,
and DOWN w in reverse order for nearest. Values outside the picture are zero in both forms, so the borders agree. The
kernel is a matrix product of w, so autograd differentiates it any number of times. A 1x1 convolution needs no merging:
it commutes with both resamplings and is computed at the low resolution.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

DOWN = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
DOWN_2D = torch.kron(DOWN, DOWN) / 4
"""Matrix (16, 9) that maps a flattened 3x3 kernel to the flattened 4x4 kernel."""
UP_2D = torch.kron(DOWN.flip(0), DOWN.flip(0))

LEAST_POSITIONS = 128
"""Minimum number of low-resolution pixels in a batch for merging; below it, computing the kernel costs too much."""


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


class _Resampling3x3(nn.Conv2d, ABC):
    """3x3 convolution with resampling by 2; weight and bias are those of the convolution."""

    merging: Tensor

    def __init__(self, dim_in: int, dim_out: int, merging: Tensor) -> None:
        super().__init__(dim_in, dim_out, 3, padding=1)
        # A buffer follows the device and dtype of the weights without a copy per call. It is not part of the state.
        self.register_buffer("merging", merging.clone(), persistent=False)
        self._made: tuple[Tensor, tuple[int, int, torch.dtype], Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        """Set the mode and drop the stored kernel, because `weight.data` may have changed without a new version."""
        self._made = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return self.merged(x, self.merged_kernel(self.weight)) if self.merges(x) else self.plain(x)
        if not self.training and not torch.is_grad_enabled():
            return self.merged(x, self._made_once(self.weight))
        self._made = None  # training changes the weights, and not every optimizer increases their version
        if not self.merges(x):
            return self.plain(x)
        weight = self.weight  # read once: spectral norm computes it at each access
        kernel = self.merged_kernel(weight)
        # Only the innermost saved-tensor hooks act. Ours would replace those of activation checkpointing, which save
        # more memory.
        hooked = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        with nullcontext() if hooked else self._kept_less(x, kernel, weight):
            return self.merged(x, kernel)

    @abstractmethod
    def plain(self, x: Tensor) -> Tensor:
        """Compute convolution and resampling one after the other."""

    @abstractmethod
    def merged(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Compute the same as one convolution with the merged kernel; the docstring of this file derives it."""

    @abstractmethod
    def _kernel(self, weight: Tensor) -> Tensor:
        """Return the 4x4 kernel of a 3x3 kernel."""

    @abstractmethod
    def low_positions(self, x: Tensor) -> int:
        """Return the number of pixels of the batch at the low resolution."""

    def merges(self, x: Tensor) -> bool:
        """Return True if the merged form is used; the choice depends on shapes alone, so all runs make the same one.

        An export always merges, because its batch size may vary and its kernel is a constant.
        """
        return torch.compiler.is_exporting() or self.low_positions(x) >= LEAST_POSITIONS

    def _made_once(self, weight: Tensor) -> Tensor:
        """Return the merged kernel, stored as long as the weights do not change."""
        version = (weight._version, weight.data_ptr(), weight.dtype)
        if self._made is None or self._made[0] is not weight or self._made[1] != version:
            self._made = weight, version, self.merged_kernel(weight)
        return self._made[2]

    def _kept_less(self, x: Tensor, kernel: Tensor, weight: Tensor) -> saved_tensors_hooks:
        """Return hooks that keep tensors from being saved for the backward pass.

        The kernel is large and cheap to compute again. x is not needed if the weights are frozen.
        """
        version = weight._version
        of_kernel, of_x = _storage(kernel), _storage(x)  # not the tensors, which would live as long as the graph

        def pack(kept: Tensor) -> Tensor | torch.Size | None:
            if _storage(kept) == of_kernel:
                return None
            return kept.shape if _storage(kept) == of_x and not weight.requires_grad else kept

        def unpack(kept: Tensor | torch.Size | None) -> Tensor:
            if isinstance(kept, Tensor):
                return kept
            if kept is not None:
                return weight.new_empty(()).expand(kept)  # only the shape is used
            if weight._version != version:
                raise RuntimeError(
                    "the weights of a convolution were changed between its forward and its backward pass; "
                    "call backward before the weights are changed"
                )
            with torch.no_grad():
                return self.merged_kernel(weight)

        return saved_tensors_hooks(pack, unpack)

    def merged_kernel(self, weight: Tensor) -> Tensor:
        """Return the 4x4 kernel in the layout of the merged convolution and the precision of the weights."""
        with torch.autocast(weight.device.type, enabled=False):
            return self._kernel(weight)


class UpConv(_Resampling3x3):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution: (N, dim_in, H, W) to (N, dim_out, 2H, 2W)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out, UP_2D)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        # The weights stay contiguous in any memory format of the network. The transposed convolution needs the order
        # (in, out, 4, 4), and conversion from channels last would cost more than the convolution.
        for p in self.parameters():  # not self.weight, which spectral norm would compute
            p.data = p.data.contiguous()
        return self

    def plain(self, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, F.interpolate(x, scale_factor=2, mode="nearest"))

    def merged(self, x: Tensor, kernel: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and torch.is_grad_enabled() and x.numel() < kernel.numel():
            x = x.contiguous()  # cheaper than reordering the gradient by the weights
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)

    def _kernel(self, weight: Tensor) -> Tensor:
        """Return the kernel (dim_in, dim_out, 4, 4)."""
        w = weight.transpose(0, 1)
        return (w.reshape(-1, 9) @ self.merging.T).view(*w.shape[:2], 4, 4)

    def low_positions(self, x: Tensor) -> int:
        return x.shape[0] * x.shape[2] * x.shape[3]


class DownConv(_Resampling3x3):
    """3x3 convolution, then average pooling by 2: (N, dim_in, 2H, 2W) to (N, dim_out, H, W)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out, DOWN_2D)

    def plain(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(nn.Conv2d.forward(self, x), 2)

    def merged(self, x: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(x, kernel, self.bias, stride=2, padding=1)

    def _kernel(self, weight: Tensor) -> Tensor:
        """Return the kernel (dim_out, dim_in, 4, 4) in the memory format of the weights."""
        o, i = weight.shape[:2]
        if weight.is_contiguous():
            return (weight.view(-1, 9) @ self.merging.T).view(o, i, 4, 4)
        w = weight.permute(0, 2, 3, 1)
        return (self.merging @ w.reshape(o, 9, i)).view(o, 4, 4, i).permute(0, 3, 1, 2)

    def low_positions(self, x: Tensor) -> int:
        return x.shape[0] * (x.shape[2] // 2) * (x.shape[3] // 2)
