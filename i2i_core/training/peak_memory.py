"""How much memory an iteration takes, found without spending it: the real trainer on tensors that have only shapes."""

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
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run


class LiveStorages(TorchDispatchMode):
    """Adds up the storages that live at a time, whatever tensors share them; `peak` is the most bytes by device type.

    It sees what operators return, not what they use while they run: a convolution's workspace, say.
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
    """Counts the storages of tensors without contents, which still have to answer when they are asked for a number.

    Whole numbers that follow from no picture are real: domains, counts of them, and what else decides about sizes.
    """

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.memo = fake.fake_tensor_converter.meta_converter.tensor_memo

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator is torch.ops.prim.device.default:
            return args[0].fake_device  # two of three calls
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        fake = [t for t in tensors if isinstance(t, FakeTensor)]
        if operator is torch.ops.aten._local_scalar_dense.default and fake:
            return 0.0 if fake[0].is_floating_point() else 0
        result = operator(*args, **(kwargs or {})) if fake or not tensors else None
        if not fake and (tensors or isinstance(result, Tensor) and result.dtype is torch.int64):
            with unset_fake_temporarily():
                result = operator(*args, **(kwargs or {}))
        self.memo.clear()  # nn.Module.to refuses parameters that something refers to weakly
        return self.counted(result)


class Copies(TorchFunctionMode):
    """copy.deepcopy of a tensor without contents (an average of a network's buffers) is another one."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
            return memo[id(tensor)]
        return function(*args, **(kwargs or {}))


def predicted_peak(checked: Checked, look: Callable[[Run], None] = lambda _: None) -> int:
    """The most bytes that an iteration keeps in tensors where it computes, found without spending them.

    Of hooks those count that have a state (an EMA); what loading data takes is not part of it. look: called with the
    run after the iteration, to count what it asks for too.
    """
    stateful = {name: spec for name, spec in checked.hooks.items() if hasattr(spec.target, "state_dict")}
    with ExitStack() as modes:
        modes.enter_context(warnings.catch_warnings(action="ignore"))  # the run itself will say them
        modes.callback(AcceleratorState._reset_state)  # the next one may have another precision
        accelerator = make_accelerator(checked.recipe.precision)
        fake = modes.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        modes.enter_context(Copies())
        tracker = Shapes(fake)
        modes.enter_context(tracker)
        data = checked.recipe.data.model_copy(update={"cache": None})  # a file that is mapped, not kept
        recipe = checked.recipe.model_copy(update={"compile": False, "data": data, "weights": None})
        run = Run(replace(checked, recipe=recipe, hooks=stateful), accelerator, None)
        iterate(run)
        look(run)
    return tracker.peak[run.placement.device.type]


def iterate(run: Run) -> None:
    """One iteration as there are many: every parameter has a gradient and an optimizer's moments from the last one."""
    run.start()
    for optimizer in run.optimizers.values():
        for p in optimizer.network.parameters():
            if p.requires_grad:
                p.grad = torch.zeros_like(p)
        optimizer.optimizer.step()
    place, size = run.placement, run.shares.size
    domains = torch.from_numpy(np.arange(size) % len(run.data.train.domains)).to(place.device)

    def batches() -> Generator[dict[str, Tensor]]:
        yield {
            name: domains
            if name.startswith("y_")
            else torch.zeros(size, 3, *run.recipe.data.image_size, device=place.device, dtype=place.dtype)
            for name in run.planner.fields
        }

    run.batches = batches  # type: ignore[method-assign]
    run.trainer.train(run)
