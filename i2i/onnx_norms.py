"""Normalisation layers in ONNX operators that average rows first, then columns.

onnxruntime sums numbers one by one. For a map of 256 x 256 nearly equal values, such as a white background, rounding
errors in its own normalisation change a translation by 3e-3. With the mean of each row first, the error is 3e-5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Value = Any
"""An array of the exported graph: the input and output of onnxscript operators."""


def instance_norm(
    x: Value,
    weight: Value = None,
    bias: Value = None,
    mean: Value = None,
    variance: Value = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Value:
    """Translate torch.instance_norm."""
    if use_input_stats:
        mean = variance = None
    return _normalized(x, _inner(x), weight, bias, eps, mean, variance)


def batch_norm(
    x: Value, weight: Value, bias: Value, training: bool, momentum: float, eps: float
) -> tuple[Value, Value, Value]:
    """Translate torch.batch_norm with the statistics of the batch; returns placeholders for the statistics, which only
    gradients need."""
    op = _operations()
    unread = (op.ReduceMean(x, [0, *_inner(x)], keepdims=0) for _ in range(2))
    return _normalized(x, [*_inner(x), 0], weight, bias, eps), *unread


NORMS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.instance_norm.default: instance_norm,
    torch.ops.aten._native_batch_norm_legit.no_stats: batch_norm,
}
"""The translations for torch.onnx.export that replace its own."""


def _normalized(
    x: Value, axes: list[int], weight: Value, bias: Value, eps: float, mean: Value = None, variance: Value = None
) -> Value:
    """Normalise `x` with its statistics along `axes`, or with the given statistics of its channels."""
    op = _operations()

    def mean_of(x: Value) -> Value:
        for axis in axes:
            x = op.ReduceMean(x, [axis])
        return x

    def spread(channels: Value) -> Value:
        return op.Unsqueeze(channels, [0, *_inner(x)])

    centred = op.Sub(x, mean_of(x) if mean is None else spread(mean))
    variance = mean_of(op.Mul(centred, centred)) if variance is None else spread(variance)
    made = op.Div(centred, op.Sqrt(op.Add(variance, op.CastLike(eps, x))))
    made = made if weight is None else op.Mul(made, spread(weight))
    return made if bias is None else op.Add(made, spread(bias))


def _inner(x: Value) -> list[int]:
    """Return the spatial axes of `x`, the last one first."""
    return list(range(len(x.shape) - 1, 1, -1))


def _operations() -> Any:
    from onnxscript import opset18  # from the extra `export`

    return opset18
