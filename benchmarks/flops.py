"""FLOPs of an iteration: all convolutions and matrix products that torch dispatches, counted without computing them.

Pictures are fake tensors, which have shapes but no values. Everything else is real, so the product makes the same
choices by shape and domain as in training. The steps of optimizers contain no products and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.case import Case
from benchmarks.overhead import train_on
from benchmarks.sides import Figures, with_ratio


class Counter(TorchDispatchMode):
    """Counter of FLOPs by torch's formulas; unlike torch's FlopCounterMode, it works with R1's gradient."""

    flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return True  # the result of the finite check, or the value of a loss
        out = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


def counted(work: Callable[[], object]) -> int:
    with Counter() as counter:
        work()
    return counter.flops


def measure(case: Case) -> Figures:
    """Count the FLOPs of one iteration of each side."""
    run, training = case.product(), case.baseline()
    for optimizer in (*(o.optimizer for o in run.optimizers.values()), *training.optimizers.values()):
        optimizer.step = lambda: None  # type: ignore[method-assign,assignment,misc]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    (batch,) = case.batches()
    fake = {name: mode.from_tensor(field) if field.is_floating_point() else field for name, field in batch.items()}
    return with_ratio(
        {
            "baseline": {"flops": counted(lambda: training.iterate(fake))},
            "product": {"flops": counted(lambda: train_on(run, [fake]))},
        }
    )
