"""Convolutions around resampling: each written twice, once as defined and once merged, equal and cheaper.

Resampling by 2 and a 3x3 convolution are both linear, so together they are one 4x4 convolution of stride 2
(up: transposed), and its kernel is linear in the 3x3 one. 36 multiplications per low-resolution pixel
become 16.

In one dimension, with taps w0 w1 w2 and zeros outside the picture:

    conv, then average     y[i] = (c[2i] + c[2i+1]) / 2   with   c[p] = w0 x[p-1] + w1 x[p] + w2 x[p+1]
                                = (w0 x[2i-1] + (w0+w1) x[2i] + (w1+w2) x[2i+1] + w2 x[2i+2]) / 2
    nearest, then conv     y[2i]   = w0 x[i-1] + (w1+w2) x[i]
                           y[2i+1] = (w0+w1) x[i] + w2 x[i+1],   so that x[i] reaches
                           y[2i-1], y[2i], y[2i+1], y[2i+2]   with   w2, w1+w2, w0+w1, w0

Both are a convolution of stride 2 and padding 1 (the second transposed) with four taps: half the rows of
DOWN, or the rows of DOWN upside down, times w. What lies outside is zero in both forms, so the borders
agree. The kernel is a matrix product of w, so gradients and gradients of gradients are autograd's own. A
1x1 convolution needs no merging: it commutes with both resamplings and belongs at the low resolution.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

DOWN = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
DOWN_2D = torch.kron(DOWN, DOWN) / 4
"""(16, 9): makes the flattened 4x4 kernel of a flattened 3x3 one."""
UP_2D = torch.kron(DOWN.flip(0), DOWN.flip(0))

LEAST_POSITIONS = 128
"""Low-resolution pixels in the batch from which merging pays: below, building the kernel costs too much."""


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


class _Resampling3x3(nn.Conv2d):
    """A 3x3 convolution with its resampling by 2; weight and bias are those of the convolution."""

    merging: Tensor

    def __init__(self, dim_in: int, dim_out: int, merging: Tensor) -> None:
        super().__init__(dim_in, dim_out, 3, padding=1)
        # A buffer follows the weights' device and type without a copy per call; it is no part of the state.
        self.register_buffer("merging", merging.clone(), persistent=False)
        self._made: tuple[Tensor, tuple[int, int, torch.dtype], Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        """Between two uses weights may change by ways that count no version (`weight.data`)."""
        self._made = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return self.merged(x, self.merged_kernel(self.weight)) if self.merges(x) else self.plain(x)
        if not self.training and not torch.is_grad_enabled():
            return self.merged(x, self._made_once(self.weight))
        self._made = None  # training changes weights, and not every optimizer counts their versions
        if not self.merges(x):
            return self.plain(x)
        weight = self.weight  # once: a spectral norm makes another one for each who asks
        kernel = self.merged_kernel(weight)
        # Of hooks only the innermost decide: these would hide a checkpoint's, which keeps nothing at all.
        hooked = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        with nullcontext() if hooked else self._kept_less(x, kernel, weight):
            return self.merged(x, kernel)

    def plain(self, x: Tensor) -> Tensor:
        """The convolution and the resampling, as defined."""
        raise NotImplementedError

    def merged(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The same as one convolution; the top of this file has the proof."""
        raise NotImplementedError

    def _kernel(self, weight: Tensor) -> Tensor:
        """The 4x4 kernel of a 3x3 one."""
        raise NotImplementedError

    def low_positions(self, x: Tensor) -> int:
        """Pixels of the batch at the low resolution."""
        raise NotImplementedError

    def merges(self, x: Tensor) -> bool:
        """Whether to merge: decided by shapes alone, so that every run takes the same path.

        An export always merges: there the batch may vary, and the kernel is a constant.
        """
        return torch.compiler.is_exporting() or self.low_positions(x) >= LEAST_POSITIONS

    def _made_once(self, weight: Tensor) -> Tensor:
        """The kernel for as long as the weights do not change."""
        version = (weight._version, weight.data_ptr(), weight.dtype)
        if self._made is None or self._made[0] is not weight or self._made[1] != version:
            self._made = weight, version, self.merged_kernel(weight)
        return self._made[2]

    def _kept_less(self, x: Tensor, kernel: Tensor, weight: Tensor) -> saved_tensors_hooks:
        """Let autograd not keep the kernel, large and cheap to make again, nor x where the weights are frozen."""
        version = weight._version
        of_kernel, of_x = _storage(kernel), _storage(x)  # and not the tensors, which would live as long as the graph

        def pack(kept: Tensor) -> Tensor | torch.Size | None:
            if _storage(kept) == of_kernel:
                return None
            return kept.shape if _storage(kept) == of_x and not weight.requires_grad else kept

        def unpack(kept: Tensor | torch.Size | None) -> Tensor:
            if isinstance(kept, Tensor):
                return kept
            if kept is not None:
                return weight.new_empty(()).expand(kept)  # of which only the shape is asked
            if weight._version != version:
                raise RuntimeError("the weights of a convolution were changed between its use and its backward pass")
            with torch.no_grad():
                return self.merged_kernel(weight)

        return saved_tensors_hooks(pack, unpack)

    def merged_kernel(self, weight: Tensor) -> Tensor:
        """The 4x4 kernels, as the merged convolution wants them, in the precision of the weights."""
        with torch.autocast(weight.device.type, enabled=False):
            return self._kernel(weight)


class UpConv(_Resampling3x3):
    """Nearest x2, then a 3x3 convolution: (N, dim_in, H, W) to (N, dim_out, 2H, 2W)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out, UP_2D)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        # Whatever the network's memory format, the weights stay (out, in, 3, 3): a transposed convolution wants them
        # (in, out), and the third format that this would be costs more than the convolution.
        for p in self.parameters():  # and not self.weight, which a spectral norm would make
            p.data = p.data.contiguous()
        return self

    def plain(self, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, F.interpolate(x, scale_factor=2, mode="nearest"))

    def merged(self, x: Tensor, kernel: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and torch.is_grad_enabled() and x.numel() < kernel.numel():
            x = x.contiguous()  # better to reorder x than what comes back for the weights
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)

    def _kernel(self, weight: Tensor) -> Tensor:
        """(dim_in, dim_out, 4, 4)."""
        w = weight.transpose(0, 1)
        return (w.reshape(-1, 9) @ self.merging.T).view(*w.shape[:2], 4, 4)

    def low_positions(self, x: Tensor) -> int:
        return x.shape[0] * x.shape[2] * x.shape[3]


class DownConv(_Resampling3x3):
    """A 3x3 convolution, then the average of 2x2 pixels: (N, dim_in, 2H, 2W) to (N, dim_out, H, W)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out, DOWN_2D)

    def plain(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(nn.Conv2d.forward(self, x), 2)

    def merged(self, x: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(x, kernel, self.bias, stride=2, padding=1)

    def _kernel(self, weight: Tensor) -> Tensor:
        """(dim_out, dim_in, 4, 4), in the weights' memory format."""
        o, i = weight.shape[:2]
        if weight.is_contiguous():
            return (weight.view(-1, 9) @ self.merging.T).view(o, i, 4, 4)
        w = weight.permute(0, 2, 3, 1)
        return (self.merging @ w.reshape(o, 9, i)).view(o, 4, 4, i).permute(0, 3, 1, 2)

    def low_positions(self, x: Tensor) -> int:
        return x.shape[0] * (x.shape[2] // 2) * (x.shape[3] // 2)
