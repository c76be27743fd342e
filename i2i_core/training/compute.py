"""Settings of computation: device, precision, memory format, compilation and activation checkpointing."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Collection
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import nn
from torch.utils.checkpoint import checkpoint

from i2i_core.errors import Problem, RecipeError
from i2i_core.plan.values import freezing
from i2i_core.recipe.sections import Recipe

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of mallopt(3): the most free memory to keep, and the size from which on memory is mapped, in bytes."""


def make_accelerator(precision: str) -> Accelerator:
    """Return the `Accelerator` of this process. Phases, not Accelerate, accumulate and average gradients."""
    AcceleratorState._reset_state()  # else it keeps the precision of an earlier run in this process
    waits = InitProcessGroupKwargs(timeout=timedelta(hours=2))  # the main process may decode a large data set first
    return Accelerator(
        mixed_precision="bf16" if precision == "bf16" else "no",
        kwargs_handlers=[waits],
        cpu=not torch.accelerator.is_available(),
    )  # else it ignores the processes that torchrun starts on CPUs


def launched_alone() -> bool:
    """Return True if Accelerate's launcher was asked for several processes, but started one.

    Its environment then has the address of the main process, but not the number of processes.
    """
    return {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= os.environ.keys() and "WORLD_SIZE" not in os.environ


def set_tf32(recipe: Recipe) -> None:
    """Set the precision of float32 products on GPUs, for the whole process."""
    precision = "tf32" if recipe.tf32 else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]  # made at run time


def keep_freed_memory() -> None:
    """Make the C library reuse freed memory, for the whole process.

    By default it returns the pages of each large tensor to the system, which has to clear them for the next tensor.
    """
    with suppress(AttributeError, OSError, TypeError):  # only glibc is known to have these
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: of tensors on a GPU, otherwise of the process. Does not synchronise."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_of_process()


def peak_of_process() -> int:
    """Return the peak resident memory of the process in bytes."""
    try:
        import resource
    except ImportError:  # on Windows
        import psutil

        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@dataclass(frozen=True)
class Placement:
    """Device, precision and memory format of tensors."""

    device: torch.device
    dtype: torch.dtype
    memory_format: torch.memory_format


def placement(recipe: Recipe, device: torch.device) -> Placement:
    """Return the placement that a recipe asks for; `channels_last: auto` depends on the device."""
    if recipe.channels_last == "auto":
        # oneDNN has fast kernels for it with AVX-512, GPUs where they compute on tensor cores.
        on_cpu = recipe.precision != "fp64" and torch.backends.cpu.get_cpu_capability() == "AVX512"
        last = on_cpu if device.type == "cpu" else recipe.precision == "bf16"
    else:
        last = recipe.channels_last
    return Placement(
        device,
        torch.float64 if recipe.precision == "fp64" else torch.float32,
        torch.channels_last if last else torch.contiguous_format,
    )


def chosen(choice: bool | Collection[str], name: str) -> bool:
    """Return True if a recipe's choice of networks (true, false or a list) includes `name`."""
    return choice if isinstance(choice, bool) else name in choice


def require_compiler(recipe: Recipe, device: torch.device) -> None:
    """Raise RecipeError if a recipe compiles networks for a CPU and there is no C++ compiler."""
    if not recipe.compile or device.type != "cpu":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        message = "torch.compile needs a C++ compiler on a CPU, and finds none"
        hint = "install g++, name one in the environment variable CXX, or leave compile out"
        raise RecipeError([Problem(message, recipe.mark("compile"), hint)]) from None


def require_bf16(recipe: Recipe, device: torch.device) -> None:
    """Raise RecipeError if a recipe trains in bf16 on a CPU for which oneDNN has no such convolutions."""
    if recipe.precision == "bf16" and device.type == "cpu" and not has_bf16():
        message = "this CPU cannot train in bf16: PyTorch has no bf16 convolutions for it, which need AVX-512"
        raise RecipeError([Problem(message, recipe.mark("precision"), "use fp32")])


def has_bf16() -> bool:
    """Return whether oneDNN has convolutions in bf16 for this CPU."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except AttributeError:  # PyTorch without oneDNN has kernels of its own
        return True


def checkpoint_blocks(network: nn.Module) -> None:
    """Apply activation checkpointing to a network's blocks: they store only their inputs for the backward pass.

    Blocks are the members of its ModuleLists and Sequentials that have submodules of their own.
    """
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList | nn.Sequential)]
    for block in dict.fromkeys(child for module in lists for child in module):
        if any(True for _ in block.children()) and block not in lists:
            block.forward = partial(_recomputed, block, block.forward)


class _AsThen(freezing):
    """A context manager that restores a module for recomputation, as it was when this object was created.

    The same parameters are frozen, and the buffers are copies. So a batch norm updates its statistics once, and a
    spectral norm divides by the same number both times.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__([p for p in module.parameters() if not p.requires_grad])
        self.buffers = [
            (owner, name, buffer.clone())
            for owner in module.modules()
            for name, buffer in owner.named_buffers(recurse=False)
        ]

    def __enter__(self) -> None:
        super().__enter__()
        self.now = [owner._buffers[name] for owner, name, _ in self.buffers]
        for owner, name, then in self.buffers:
            owner._buffers[name] = then.clone()

    def __exit__(self, *_: object) -> None:
        for (owner, name, _then), now in zip(self.buffers, self.now, strict=True):
            owner._buffers[name] = now
        super().__exit__()


def _recomputed(block: nn.Module, forward: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    if torch.compiler.is_compiling():  # the compiler knows what is frozen, and that nothing else changes
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _AsThen(block)), **kwargs)
