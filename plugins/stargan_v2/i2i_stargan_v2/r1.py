"""R1 in four passes instead of six: the gradient of a gradient penalty, without double backward.

D consists of convolutions, average pools, sums and LeakyReLUs: for one picture x it is a chain of affine maps, fixed
by the signs that its LeakyReLUs see. Let c = ∂L/∂D(x) be what the adversarial loss makes of the logit, v = ∇ₓD(x), and
u = ∂L/∂v what the penalty makes of v (R1: u = γ/N · v). At a layer y = W a + β let b = ∂D(x)/∂y. Then

    from the logit      ∂L/∂W = c b aᵀ,   ∂L/∂β = c b
    from the penalty    v is linear in W: ⟨u, v⟩ = ⟨b, W t⟩, where t is what the layers without their biases make of u.
                        So ∂L/∂W = b tᵀ, ∂L/∂β = 0
    together            ∂L/∂W = b hᵀ with h = c a + t, and h obeys h ← W h + c β: it starts as c x + u.

So: a forward; a backward to x, for v, which keeps the b; and one forward of h, which takes the weight gradients on its
way. The second derivative by x is zero. No graph of second order is built, and of the first forward only the signs are
kept. What is recorded here is what D does to x, whatever its modules are; if it does anything else than the functions
below, what it returns is an ordinary tensor, and autograd differentiates twice.
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
"""In their first argument, if what else they are given is constant."""
FACTS = torch.Size | int | torch.dtype | torch.device | torch.UntypedStorage
"""What a network may ask of a tensor without reading its numbers."""
Pair = int | Sequence[int]
"""A number for height and width, or one for each."""


def logits_for_r1(discriminator: Callable[..., Tensor], x: Tensor, *args: Any) -> Tensor:
    """discriminator(x, *args), logits (N,) of which a penalty on their gradient by x is cheap to differentiate.

    x (N, ...) is a leaf that requires a gradient. The penalty takes v by
    `torch.autograd.grad(logits.sum(), x, create_graph=True)` and makes of it what it likes. Where the discriminator is
    not piecewise linear, or gives more than one logit per sample, this is the plain call. Elsewhere the penalty spends
    the discriminator's own graph: what a hook took out of it can no longer be differentiated, and gradients by weights
    come once (RuntimeError).
    """
    if not torch.is_grad_enabled():
        return discriminator(x, *args)
    # A compiled network would hide what it does; where nothing is compiled, the compiler need not be imported.
    eagerly = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with _Tape(x) as tape, eagerly:
        logits = discriminator(x, *args)
    if not tape.linear or logits not in tape.numbers or logits.shape != x.shape[:1]:
        return logits
    tape.logits = logits
    out: Tensor = _Logits.apply(tape, x, *tape.weights)
    return out


class _Logits(torch.autograd.Function):
    """The logits; a backward pass that is itself to be differentiated is the penalty's, the other one comes last."""

    @staticmethod
    def forward(ctx: Any, tape: _Tape, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.tape, out = tape, tape.logits.detach()
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, c: Tensor) -> Any:
        if torch.is_grad_enabled():
            (logits,) = ctx.saved_tensors  # so that autograd calls the penalty's backward before this one
            return None, _Slope.apply(ctx.tape, logits, c), *(None for _ in ctx.tape.weights)
        return None, *ctx.tape.gradients(c)


class _Slope(torch.autograd.Function):
    """v = ∇ₓ of the logits, weighted by c; what comes back for it, u, waits for the logits' own backward."""

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
    """The b of each layer, as the backward pass for v brings them."""

    wanted = False

    def listen(self, layer: int, b: Tensor) -> None:
        if self.wanted:
            self[layer] = b


class _Tape(TorchFunctionMode):
    """Records the affine maps of which a network of x consists, so that h can pass them."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x
        self.linear = True
        """So far."""
        self.weights: list[Tensor] = []
        """As the layers use them; a kernel may be made of parameters, and autograd goes on from there."""
        self.numbers = WeakTensorKeyDictionary()
        """What depends on x, by number."""
        self.numbers[x] = 0
        self.steps: list[tuple[Callable[..., Tensor], tuple[int, ...]]] = []
        """Step n makes tensor n + 1 of those with the numbers that it names."""
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
        """Whether y has a row for each picture, and autograd sees it made: what it takes for constant has no slopes."""
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
        """What `func` does to h, or None if it is not known to be affine with fixed slopes."""
        if func in SUMS | SCALES and any(tensor.dim() not in (0, y.dim()) for tensor in given):
            return None  # broadcast, rows may become columns
        if func in SUMS and len(inputs) == 2 and not kwargs:
            return lambda _, a, b: a + b
        if len(inputs) > 1 or given[0] is not x or x not in self.numbers:
            return None
        if y is x and (inputs[0] != len(self.steps) or x._is_view()):  # done in place, and perhaps not to x alone
            return None
        if func is torch.conv2d and y.dim() == 4:
            return self._conv2d(y, *args, **kwargs)
        if func is F.linear and y.dim() == 2:
            return self._linear(y, *args, **kwargs)
        if func in (F.leaky_relu, F.relu):
            return _kept_slopes(y, func, *args, **kwargs)
        if func in (torch.gather, Tensor.gather) and (args or (kwargs["dim"],))[0] in (0, -y.dim()):
            return None  # pictures get numbers of each other
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

        def gradient(h: Tensor, b: Tensor) -> Tensor:  # torch.nn.grad.conv2d_weight forgets the weight's memory format
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

    # Going back over it

    def v(self) -> Tensor:
        """∇ₓ of each logit; the b are kept on the way, and what autograd had kept is gone."""
        if self._v is None:
            self.signals.wanted = True
            with torch.enable_grad():  # a sum, since with grad_outputs torch imports its compiler
                (self._v,) = torch.autograd.grad(self.logits.sum(), self.x)
        return self._v

    def gradients(self, c: Tensor) -> list[Tensor | None]:
        """The gradients of x (none where a penalty asked for v) and of the weights."""
        if self._v is None:
            with torch.enable_grad():
                total = (self.logits * c).sum()
            return list(torch.autograd.grad(total, [self.x, *self.weights], allow_unused=True))
        if not self.steps:
            raise RuntimeError(
                "logits_for_r1 gives its gradients once: differentiate the sum of all losses of its logits"
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
        return None  # y would not have the sign of what it was made of
    rises = y.detach() > 0
    return lambda _, h: torch.where(rises, h, slope * h)


def _per_sample(c: Tensor, like: Tensor) -> Tensor:
    """(N,) as (N, 1, ...), to be multiplied with `like`."""
    return c.view(-1, *(1 for _ in like.shape[1:]))
