"""The interfaces, as Protocols: documentation that a type checker can read. Nobody has to inherit from them.

A parameter of a component annotated with one of these takes a nested component of that kind from the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor

    from i2i_core.training.run import Run


@runtime_checkable
class Network(Protocol):
    """An `nn.Module`. Constructor parameters called `image_size`, `num_domains` or `domains` come from the data."""

    def parameters(self, recurse: bool = True) -> Any: ...
    def state_dict(self) -> Mapping[str, Any]: ...


@runtime_checkable
class Loss(Protocol):
    """A callable whose argument names are the tensors it wants, returning a scalar to be minimised."""

    def __call__(self, *tensors: Any) -> Tensor: ...


@runtime_checkable
class Dataset(Protocol):
    """Pictures in named domains. Sampling, augmentation and batching are the core's."""

    domains: Sequence[str]
    """Names, in the order of the class index y."""
    paired: bool
    """Whether picture(a, i) and picture(b, i) show the same thing for all domains a and b."""

    def count(self, domain: int) -> int: ...
    def picture(self, domain: int, index: int) -> PIL.Image.Image:
        """An RGB picture of any size. The object is pickled to data workers, so keep it light."""
        ...


@runtime_checkable
class CacheableDataset(Dataset, Protocol):
    """A data set for `data.cache`: its pictures may be kept, and several threads may ask for them at a time."""

    def fingerprint(self) -> str:
        """What is never the same for other pictures: names, sizes and times of files, say."""
        ...


@runtime_checkable
class Trainer(Protocol):
    """Drives a run from `run.step` to `run.recipe.steps`."""

    def train(self, run: Run) -> None: ...


class Hook(Protocol):
    """Any object with methods named after events, each taking any subset of the event's arguments.

    With `state_dict()` and `load_state_dict(state)` (a flat mapping of names to tensors) it is saved and resumed.
    """

    def run_start(self, run: Run) -> None:
        """Everything is built and `run.step` is known; make what `state_dict` gives: a resumed state is loaded next."""

    def before_phase(self, run: Run, phase: str) -> None:
        """A phase of the iteration is about to compute its losses."""

    def after_phase(self, run: Run, phase: str, losses: Mapping[str, Tensor]) -> None:
        """The phase's networks were stepped; their gradients are still there."""

    def after_step(self, run: Run, losses: Mapping[str, Tensor]) -> None:
        """An iteration is done: `run.step` counts it; `losses` are 0-d tensors "phase/term" on the device."""

    def checkpoint_saved(self, run: Run, path: Any) -> None:
        """A checkpoint was committed at `path`."""

    def run_end(self, run: Run) -> None:
        """The last iteration is done and saved (not called when training stops early)."""


EVENTS = ("run_start", "before_phase", "after_phase", "after_step", "checkpoint_saved", "run_end")

