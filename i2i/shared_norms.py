"""Norms with the statistics of several windows of a picture together, so that windows fit each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SharedNorms(TorchFunctionMode):
    """A mode in which the norms of windows use shared means and variances.

    In the block `gathering(n)`, each instance norm pools the statistics of a batch of n windows, and remembers them.
    In the block `using(n)`, the same computation of other windows uses what was remembered, in the same order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.remembered: list[tuple[Tensor, Tensor]] = []
        """Mean and variance of each channel, (C,), of each norm."""
        self._count, self._next, self._gathers = 1, 0, True

    @contextmanager
    def gathering(self, count: int) -> Iterator[None]:
        self._count, self._gathers, self.remembered = count, True, []
        with self:
            yield

    @contextmanager
    def using(self, count: int) -> Iterator[None]:
        self._count, self._gathers, self._next = count, False, 0
        with self:
            yield

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = {**(kwargs or {})}
        if function is F.instance_norm:
            return self._instance_norm(*args, **given)
        if function is F.batch_norm and self._of_windows(*args, **given):
            # As some networks compute instance norms: one sample with N·C channels.
            return self._normalised(args[0], given.get("weight"), given.get("bias"), given.get("eps", 1e-5))
        return function(*args, **given)

    def _instance_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not use_input_stats:
            return F.instance_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        return self._normalised(x, weight, bias, eps)

    def _of_windows(self, x: Tensor, mean: Tensor | None = None, *_: Any, training: bool = False, **__: Any) -> bool:
        return training and mean is None and x.dim() > 2 and x.shape[0] * x.shape[1] % self._count == 0

    def _normalised(self, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        maps = x.reshape(self._count, -1, *x.shape[2:])  # (N, C, H, W)
        if self._gathers:
            axes = tuple(range(2, maps.dim()))
            variances, means = torch.var_mean(maps, axes, correction=0)
            pooled = variances.mean(0) + means.var(0, correction=0)
            self.remembered.append((means.mean(0), pooled))
        mean, variance = self.remembered[-1 if self._gathers else self._next]
        self._next += 1
        made = (maps - _spread(mean, maps)) * _spread((variance + eps).rsqrt(), maps)
        made = made.reshape(x.shape)
        made = made if weight is None else made * _spread(weight, made)
        return made if bias is None else made + _spread(bias, made)


def _spread(channels: Tensor, x: Tensor) -> Tensor:
    return channels.reshape(1, -1, *(1,) * (x.dim() - 2))
