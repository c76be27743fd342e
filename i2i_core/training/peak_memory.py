"""Prediction of the peak memory of an iteration, by running the real trainer on fake tensors."""

from __future__ import annotations

import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from torch import Tensor
from torch._subclasses import FakeTensor, FakeTensorMode
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from i2i_core.plan.checked import Checked
from i2i_core.plan.fields import DOMAINS
from i2i_core.recipe.sections import ALWAYS
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run


class LiveStorages(TorchDispatchMode):
    """A counter of live storages, each counted once. `peak` is the greatest sum in bytes, by device type.

    It counts the results of operators, not their temporary memory, such as the workspace of a convolution.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.now, self.peak = Counter[str](), Counter[str]()
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.counted(operator(*args, **(kwargs or {})))

    def counted(self, result: Any) -> Any:
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._see(tensor)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage, device = tensor.untyped_storage(), tensor.device.type
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return

        def forget(_: object) -> None:
            del self._seen[key]
            self.now[device] -= size

        self._seen[key] = weakref.ref(storage, forget)
        self.now[device] += size
        self.peak[device] = max(self.peak[device], self.now[device])


class Shapes(LiveStorages):
    """A counter of the storages of fake tensors. It also returns a number where code reads one from a fake tensor.

    Integers that do not depend on pictures are real, such as domains and their counts, since they may decide on sizes.
    """

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.memo = fake.fake_tensor_converter.meta_converter.tensor_memo

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator is torch.ops.prim.device.default:
            return args[0].fake_device  # two thirds of all calls
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        fake = [t for t in tensors if isinstance(t, FakeTensor)]
        if operator is torch.ops.aten._local_scalar_dense.default and fake:
            return 0.0 if fake[0].is_floating_point() else 0
        result = operator(*args, **(kwargs or {})) if fake or not tensors else None
        if not fake and (tensors or isinstance(result, Tensor) and result.dtype is torch.int64):
            with unset_fake_temporarily():
                result = operator(*args, **(kwargs or {}))
        self.memo.clear()  # nn.Module.to refuses parameters with weak references
        return self.counted(result)


class Copies(TorchFunctionMode):
    """A mode in which copy.deepcopy works on fake tensors, as an EMA needs for buffers."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
            return memo[id(tensor)]
        return function(*args, **(kwargs or {}))


def predicted_peak(checked: Checked, look: Callable[[Run], None] = lambda _: None) -> int:
    """Return the predicted peak of an iteration's tensors on its device, in bytes, without allocating them.

    The iteration runs all phases. Hooks with state, such as an EMA, are included; data loading is not. look: called
    with the run after the iteration; the tensors that it computes are included, too.
    """
    stateful = {name: spec for name, spec in checked.hooks.items() if hasattr(spec.target, "state_dict")}
    with ExitStack() as modes:
        modes.enter_context(warnings.catch_warnings(action="ignore"))  # the real run repeats them
        modes.callback(AcceleratorState._reset_state)  # the next run may have another precision
        accelerator = make_accelerator(checked.recipe.precision)
        fake = modes.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        modes.enter_context(Copies())
        tracker = Shapes(fake)
        modes.enter_context(tracker)
        data = checked.recipe.data.model_copy(update={"cache": None})  # a mapped file
        phases = {name: phase.model_copy(update=ALWAYS) for name, phase in checked.recipe.phases.items()}
        of_seed: dict[str, Any] = {"start_from": None, "weights": None, "heads": {}}
        changed = {"compile": False, "data": data, "phases": phases, **of_seed}
        recipe = checked.recipe.model_copy(update=changed)
        run = Run(replace(checked, recipe=recipe, hooks=stateful), accelerator, None)
        iterate(run)
        look(run)
    return tracker.peak[run.placement.device.type]


def iterate(run: Run) -> None:
    """Run a typical iteration: every parameter has a gradient and moments of the optimizer from the one before."""
    run.start()
    for optimizer in run.optimizers.values():
        for p in optimizer.network.parameters():
            if p.requires_grad:
                p.grad = torch.zeros_like(p)
        optimizer.optimizer.step()
    place, size = run.placement, run.shares.size
    domains = torch.from_numpy(np.arange(size) % len(run.data.train.domains)).to(place.device)

    with unset_fake_temporarily():
        like = {name: layout.examples(1, place.dtype) for name, layout in run.data.layouts.items()}

    def batches() -> Generator[dict[str, Tensor]]:
        yield {name: domains for name in DOMAINS} | {
            name: torch.zeros(size, *one.shape[1:], device=place.device, dtype=one.dtype) for name, one in like.items()
        }

    run.batches = batches  # type: ignore[method-assign]
    run.trainer.train(run)
