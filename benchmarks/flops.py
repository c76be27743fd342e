"""FLOPs of an iteration, counted without computing it: every convolution and product that is dispatched.

Pictures are fake tensors, which have a shape and no numbers; everything else is what a real iteration uses, so that
whatever the product chooses by shapes or domains is counted as it runs. Optimizers' steps hold no products and are
left out.
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
    """Adds up FLOPs by torch's own formulas; unlike torch's FlopCounterMode it does not disturb R1's gradient."""

    flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return True  # "are all losses finite?", or a loss itself
        out = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


def counted(work: Callable[[], object]) -> int:
    with Counter() as counter:
        work()
    return counter.flops


def measure(case: Case) -> Figures:
    """Of one iteration of each."""
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
