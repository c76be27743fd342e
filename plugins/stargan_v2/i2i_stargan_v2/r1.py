"""R1 regularisation in four passes instead of six: the gradient of a gradient penalty without double backward.

D consists of convolutions, average pooling, sums and LeakyReLUs. For one picture x it is therefore a chain of affine
maps, fixed by the signs of the inputs of its LeakyReLUs. Let

    c = ∂L/∂D(x)    the gradient of the adversarial loss by the logit
    v = ∇ₓD(x)
    u = ∂L/∂v       the gradient of the penalty by v (R1: u = γ/N · v)

and, at a layer y = W a + β, let b = ∂D(x)/∂y. Then

    from the logit      ∂L/∂W = c b aᵀ,   ∂L/∂β = c b
    from the penalty    v is linear in W: ⟨u, v⟩ = ⟨b, W t⟩, where t is the image of u under the preceding layers
                        without their biases. Therefore ∂L/∂W = b tᵀ and ∂L/∂β = 0
    together            ∂L/∂W = b hᵀ with h = c a + t. h starts as c x + u and passes a layer as h ← W h + c β

The passes are: a forward pass; a backward pass to x, which gives v and keeps every b; and a forward pass of h, which
computes the gradients by the weights. The second derivative by x is zero. No second-order graph is built, and only the
signs of the first forward pass are kept.

The operations that D applies to x are recorded, independent of its modules. If D applies any operation other than the
functions below, the logits are an ordinary tensor, and autograd differentiates twice.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

SUMS = {torch.add, Tensor.add, Tensor.__add__}
SCALES = {torch.mul, Tensor.mul, Tensor.__mul__, Tensor.mul_, torch.div, Tensor.div, Tensor.__truediv__, Tensor.div_}
LINEAR = SCALES | {
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
    F.interpolate,
    torch.gather,
    Tensor.gather,
    torch.squeeze,
    Tensor.squeeze,
    torch.flatten,
    Tensor.flatten,
    Tensor.reshape,
    Tensor.view,
}
"""Functions that are linear in their first argument if their other arguments are constant."""
FACTS = torch.Size | int | torch.dtype | torch.device | torch.UntypedStorage
"""Properties of a tensor that a network may read without reading the tensor's values."""
Pair = int | Sequence[int]
"""One number for height and width, or one for each."""


def logits_for_r1(discriminator: Callable[..., Tensor], x: Tensor, *args: Any) -> Tensor:
    """Return discriminator(x, *args), logits (N,) whose gradient penalty is cheap to differentiate.

    x: pictures (N, ...), a leaf tensor that requires a gradient.

    The penalty computes v with `torch.autograd.grad(logits.sum(), x, create_graph=True)` and may be any function of v.
    If the discriminator is not piecewise linear, or returns more than one logit per sample, the result is the same as
    that of a plain call.

    Otherwise the penalty consumes the discriminator's own graph. Tensors that a hook took out of this graph can no
    longer be differentiated. A second backward pass to the weights raises RuntimeError.
    """
    if not torch.is_grad_enabled():
        return discriminator(x, *args)
    # A compiled network would hide its operations. If nothing is compiled, the compiler need not be imported.
    eagerly = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with _Tape(x) as tape, eagerly:
        logits = discriminator(x, *args)
    if not tape.linear or logits not in tape.numbers or logits.shape != x.shape[:1]:
        return logits
    tape.logits = logits
    out: Tensor = _Logits.apply(tape, x, *tape.weights)
    return out


class _Logits(torch.autograd.Function):
    """Logits as a function of x and the weights.

    A backward pass with `create_graph` is the penalty's and returns v. The backward pass without it comes last and
    returns the gradients by the weights.
    """

    @staticmethod
    def forward(ctx: Any, tape: _Tape, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.tape, out = tape, tape.logits.detach()
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        if torch.is_grad_enabled():
            (logits,) = ctx.saved_tensors  # an input of _Slope, so that its backward pass runs before this one's
            return None, _Slope.apply(ctx.tape, logits, c), *(None for _ in ctx.tape.weights)
        return None, *ctx.tape.gradients(c)


class _Slope(torch.autograd.Function):
    """v = ∇ₓ of the logits, weighted by c; its backward pass stores u for the backward pass of the logits."""

    @staticmethod
    def forward(ctx: Any, tape: _Tape, logits: Tensor, c: Tensor) -> Tensor:
        ctx.tape = tape
        ctx.save_for_backward(c)
        return tape.v() * _per_sample(c, tape.x)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> Any:
        (c,) = ctx.saved_tensors
        ctx.tape.u = ctx.tape.u + u * _per_sample(c, u)
        return None, torch.zeros_like(c), (u * ctx.tape.v()).flatten(1).sum(1)


class _Signals(dict[int, Tensor]):
    """Gradients b of the layers, collected during the backward pass that computes v."""

    wanted = False

    def listen(self, layer: int, b: Tensor) -> None:
        if self.wanted:
            self[layer] = b


class _Tape(TorchFunctionMode):
    """Record of the affine maps that a network applies to x, through which h can be passed later."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x
        self.linear = True
        """True until an operation is recorded that is not affine."""
        self.weights: list[Tensor] = []
        """Weights as the layers use them; if a kernel is computed from parameters, autograd continues from it."""
        self.numbers = WeakTensorKeyDictionary()
        """Numbers of the tensors that depend on x."""
        self.numbers[x] = 0
        self.steps: list[tuple[Callable[..., Tensor], tuple[int, ...]]] = []
        """Step n computes tensor n + 1 from the tensors with the given numbers."""
        self.signals = _Signals()
        self.logits: Tensor
        self.u = torch.zeros((), dtype=x.dtype, device=x.device)
        self._v: Tensor | None = None

    # Recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        y = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        inputs = [self.numbers[tensor] for tensor in given if tensor in self.numbers]
        if self.linear and inputs and not isinstance(y, FACTS):
            step = self._step(func, y, inputs, given, *args, **kwargs) if args and self._is_like_x(y) else None
            if step is None:
                self.linear = False
                self.steps.clear()
            else:
                self.steps.append((step, tuple(inputs)))
                self.numbers[y] = len(self.steps)
        return y

    def _is_like_x(self, y: object) -> TypeGuard[Tensor]:
        """Return True if y has a row for each picture and autograd tracks it; untracked tensors count as constant."""
        return (
            isinstance(y, Tensor)
            and y.shape[:1] == self.x.shape[:1]
            and y.dtype == self.x.dtype
            and torch.is_grad_enabled()
            and y.requires_grad
        )

    def _step(
        self, func: Any, y: Tensor, inputs: list[int], given: list[Tensor], x: Any, /, *args: Any, **kwargs: Any
    ) -> Callable[..., Tensor] | None:
        """Return the effect of `func` on h, or None if `func` is not known to be affine with fixed slopes."""
        if func in SUMS | SCALES and any(tensor.dim() not in (0, y.dim()) for tensor in given):
            return None  # broadcasting may turn rows into columns
        if func in SUMS and len(inputs) == 2 and not kwargs:
            return lambda _, a, b: a + b
        if len(inputs) > 1 or given[0] is not x or x not in self.numbers:
            return None
        if y is x and (inputs[0] != len(self.steps) or x._is_view()):  # in place, and other tensors may share memory
            return None
        if func is torch.conv2d and y.dim() == 4:
            return self._conv2d(y, *args, **kwargs)
        if func is F.linear and y.dim() == 2:
            return self._linear(y, *args, **kwargs)
        if func in (F.leaky_relu, F.relu):
            return _kept_slopes(y, func, *args, **kwargs)
        if func in (torch.gather, Tensor.gather) and (args or (kwargs["dim"],))[0] in (0, -y.dim()):
            return None  # pictures would exchange values
        constant = not any(other.requires_grad for other in given[1:])
        if func in LINEAR and constant and kwargs.get("rounding_mode") is None:
            return lambda _, h: func(h, *args, **kwargs)
        return None

    def _conv2d(
        self,
        y: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
    ) -> Callable[..., Tensor] | None:
        if isinstance(padding, str):
            return None
        steps = [[pair] * 2 if isinstance(pair, int) else list(pair) for pair in (stride, padding, dilation)]

        def gradient(h: Tensor, b: Tensor) -> Tensor:  # torch.nn.grad.conv2d_weight loses the weight's memory format
            found: Tensor = torch.ops.aten.convolution_backward(
                b, h, weight, None, *steps, False, [0, 0], groups, [False, True, False]
            )[1]
            return found

        return self._affine(
            y, weight, bias, lambda h: torch.conv2d(h, weight, None, stride, padding, dilation, groups), gradient
        )

    def _linear(self, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Callable[..., Tensor]:
        return self._affine(y, weight, bias, lambda h: F.linear(h, weight), lambda h, b: b.T @ h)

    def _affine(
        self,
        y: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        apply: Callable[[Tensor], Tensor],
        gradient: Callable[[Tensor, Tensor], Tensor],
    ) -> Callable[..., Tensor]:
        layer = len(self.weights)
        self.weights += [weight] if bias is None else [weight, bias]
        y.register_hook(partial(self.signals.listen, layer))

        def step(replay: _Replay, h: Tensor) -> Tensor:
            b = replay.signals.pop(layer)
            replay.gradients[layer] = gradient(h, b)
            h = apply(h)
            if bias is not None:
                replay.gradients[layer + 1] = replay.c @ b.flatten(2).sum(2) if b.dim() > 2 else replay.c @ b
                h += _per_sample(replay.c, h) * bias.view(-1, *(1 for _ in h.shape[2:]))
            return h

        return step

    # Replaying

    def v(self) -> Tensor:
        """Return v, the gradient of each logit by its x, and keep every b; this frees autograd's graph."""
        if self._v is None:
            self.signals.wanted = True
            with torch.enable_grad():  # a sum, since with grad_outputs torch imports its compiler
                (self._v,) = torch.autograd.grad(self.logits.sum(), self.x)
        return self._v

    def gradients(self, c: Tensor) -> list[Tensor | None]:
        """Return the gradients by x and by the weights; the one by x is None if a penalty computed v."""
        if self._v is None:
            with torch.enable_grad():
                total = (self.logits * c).sum()
            return list(torch.autograd.grad(total, [self.x, *self.weights], allow_unused=True))
        if not self.steps:
            raise RuntimeError(
                "the logits of logits_for_r1 can be differentiated once: call backward on the sum of all their losses"
            )
        replay = _Replay(c, self.signals, [None for _ in self.weights])
        left = Counter(number for _, inputs in self.steps for number in inputs)
        h = {0: self.x.detach() * _per_sample(c, self.x) + self.u}
        for number, (step, inputs) in enumerate(self.steps, start=1):
            h[number] = step(replay, *(h[i] for i in inputs))
            left.subtract(inputs)
            for i in inputs:
                if not left[i]:
                    h.pop(i, None)
        self.steps.clear()
        return [None, *replay.gradients]


class _Replay(NamedTuple):
    c: Tensor
    signals: _Signals
    gradients: list[Tensor | None]


def _kept_slopes(
    y: Tensor, func: Callable[..., Tensor], negative_slope: float = 0.01, inplace: bool = False
) -> Callable[..., Tensor] | None:
    slope = negative_slope if func is F.leaky_relu else 0.0
    if slope < 0:
        return None  # y and its input may differ in sign
    rises = y.detach() > 0
    return lambda _, h: torch.where(rises, h, slope * h)


def _per_sample(c: Tensor, like: Tensor) -> Tensor:
    """Reshape c (N,) to (N, 1, ...), so that it can be multiplied with `like`."""
    return c.view(-1, *(1 for _ in like.shape[1:]))
