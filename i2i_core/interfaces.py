"""The interfaces as Protocols, which a type checker reads. No component has to inherit from them.

A parameter of a component annotated with one of these takes a nested component of that kind from the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import PIL.Image
    from accelerate import Accelerator
    from torch import Tensor, nn

    from i2i_core.recipe.sections import Recipe


@runtime_checkable
class Network(Protocol):
    """An `nn.Module`. Constructor parameters called `image_size`, `num_domains` or `domains` come from the data."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> Mapping[str, Any]: ...


@runtime_checkable
class Loss(Protocol):
    """A callable whose argument names are the tensors it wants, returning a scalar to be minimised."""

    def __call__(self, *tensors: Any) -> Tensor: ...


F = TypeVar("F", bound=Callable[..., Any])


def detached(function: F) -> F:
    """Mark a tensor through which no gradient flows: it and what only it uses are computed without a graph."""
    function.__dict__["detached"] = True
    return function


@runtime_checkable
class Schedule(Protocol):
    """A number that changes over a run: a function of the step, so it has no state to save."""

    def __call__(self, step: int) -> float: ...


@runtime_checkable
class Dataset(Protocol):
    """Pictures in named domains. The core samples, augments and batches them."""

    domains: Sequence[str]
    """Names, in the order of the class index y."""
    paired: bool
    """Whether picture(a, i) and picture(b, i) show the same thing for all domains a and b."""

    def count(self, domain: int) -> int: ...
    def picture(self, domain: int, index: int) -> PIL.Image.Image:
        """Return an RGB picture of any size. The data set is pickled to data workers, so keep it light."""
        ...


@runtime_checkable
class CacheableDataset(Dataset, Protocol):
    """A data set for `data.cache`: its pictures may be kept, and several threads may ask for them at a time."""

    def fingerprint(self) -> str:
        """Return text that changes with the pictures: names, sizes and times of files, say."""
        ...


RunT_contra = TypeVar("RunT_contra", contravariant=True)


@runtime_checkable
class Trainer(Protocol[RunT_contra]):
    """The training loop: drives a run from `run.step` to `run.recipe.steps`."""

    def train(self, run: RunT_contra) -> None: ...


class TensorView(Protocol):
    """A named tensor of any batch, computed without gradients from the networks that pictures are drawn with."""

    fields: Collection[str]
    """The batch fields that it depends on."""

    def __call__(self, batch: Mapping[str, Tensor], *, draw: int = 0, shared: bool = False) -> Tensor:
        """Return the tensor on the CPU as float32, (N, ...).

        batch: fields of N samples on the CPU, pictures (N, 3, H, W) as uint8 or in [-1, 1]. It is computed in parts as
        large as those of training, so it takes no more memory. draw: the number of the latents; shared: whether all
        samples get the same ones.
        """
        ...


class Stateful(Protocol):
    """A component that remembers: what it gives is in checkpoints, and a resumed run gives it back."""

    def state_dict(self) -> Mapping[str, Tensor]: ...
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class RunContext(Protocol):
    """The part of a run that a hook may use."""

    step: int
    """The number of completed iterations."""
    recipe: Recipe
    """The recipe with all defaults."""
    folder: Path | None
    """The run's folder; None for a run that writes no files."""
    is_main: bool
    """True in the process that writes files and prints."""
    accelerator: Accelerator
    """Accelerate's view of this process: device, number of processes, trackers."""
    networks: Mapping[str, nn.Module]
    """The networks in training, by name."""
    eval_networks: MutableMapping[str, nn.Module]
    """The networks for sample grids and metrics: those in training, or their EMA if a hook sets it."""
    validation: Dataset
    """The held-out pictures, or the training pictures if there are none."""

    @property
    def stopping(self) -> bool:
        """True if all processes have agreed to stop after this step."""
        ...

    def tensor(self, name: str, phase: str | None = None) -> TensorView:
        """Return a named tensor under the aliases of `phase`; raises RecipeError if nothing makes it."""
        ...

    def log(self, values: Mapping[str, float]) -> None:
        """Append numbers to metrics.jsonl and send them to the trackers; call it in every process."""
        ...

    def save(self, keep: int | None = None) -> Path | None:
        """Save a checkpoint of this step, keep the newest `keep`; call it in every process."""
        ...


class Hook(Protocol):
    """Any object with methods named after events, each taking any subset of the event's arguments.

    With `state_dict()` and `load_state_dict(state)` (a flat mapping of names to tensors) it is saved and resumed.
    Hooks are called in the order of the recipe. A class attribute `order = "first"` or `order = "last"` moves a hook
    before or after the others; a hook with a `state_dict` comes first unless it sets `order`.
    """

    def run_start(self, run: RunContext) -> None:
        """All parts of the run are built and `run.step` is set. Create state here; a resumed one is loaded next."""

    def before_phase(self, run: RunContext, phase: str) -> None:
        """A phase is about to compute its losses."""

    def after_phase(self, run: RunContext, phase: str, losses: Mapping[str, Tensor]) -> None:
        """A phase has stepped its networks; their gradients are still available."""

    def after_step(self, run: RunContext, losses: Mapping[str, Tensor]) -> None:
        """An iteration is done and counted in `run.step`; `losses` maps "phase/term" to 0-d tensors on the device."""

    def checkpoint_saved(self, run: RunContext, path: Path) -> None:
        """A checkpoint was saved at `path`; only the main process calls this."""

    def run_end(self, run: RunContext) -> None:
        """The last iteration is done and saved (not called when training stops early)."""


EVENTS = tuple(name for name in vars(Hook) if not name.startswith("_"))
