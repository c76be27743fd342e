"""The interfaces of components as Protocols for type checkers. No component has to inherit from them.

If a parameter of a component is annotated with one of these, a recipe may give a nested component of that kind for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    import torch
    from accelerate import Accelerator
    from torch import Tensor, nn

    from i2i_core.recipe.sections import Recipe


@runtime_checkable
class Network(Protocol):
    """An `nn.Module`. The constructor parameters below are filled in from the data if a recipe does not set them.

    image_size: height and width in pixels. num_domains, domains: number and names of the domains.
    source_size, target_size: height and width of the pictures that are translated, and of translations.
    source_channels, target_channels: their numbers of channels.
    """

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> Mapping[str, Any]: ...


@runtime_checkable
class Loss(Protocol):
    """A callable that returns a scalar tensor to minimise. Its argument names are the named tensors that it reads."""

    def __call__(self, *tensors: Any) -> Tensor: ...


F = TypeVar("F", bound=Callable[..., Any])


def detached(function: F) -> F:
    """Mark the function of a named tensor through which no gradient flows.

    It is computed without a graph, and so are the tensors that only it reads.
    """
    function.__dict__["detached"] = True
    return function


@runtime_checkable
class Schedule(Protocol):
    """A number that changes during a run, as a function of the step alone; it has no state to save."""

    def __call__(self, step: int) -> float: ...


Size = tuple[int, int]
"""Height and width in pixels."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom as fractions of a picture's width or height, in [0, 1]."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
Value = Any
"""The contents of a file as its format reads them: a PIL picture, an array (H, W, ...), or a mapping to numbers."""


@runtime_checkable
class Format(Protocol):
    """The way in which the pictures of a domain, or another field of records, are read, encoded, shown and written.

    A format is a frozen dataclass: its fields are its keys in recipes, and in the config.json of models.

    A file is *read* as a value, and *fitted* to one size as a compact tensor that data workers send and caches store.
    On the device, fitted tensors are *encoded* as the networks get them. Results are *decoded* to values.
    """

    @property
    def kind(self) -> type:
        """The type of its values."""
        ...

    @property
    def suffixes(self) -> Sequence[str]:
        """Suffixes of the files that it reads and writes, in lower case; results have the first by default."""
        ...

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest number of encoded values."""
        ...

    def read(self, path: Path) -> Value:
        """Read a file. Raises OSError or ValueError with the reason if it cannot be used."""
        ...

    def converted(self, value: Value) -> Value:
        """Check a value that was not read from a file, and convert it, for example to RGB. Raises ValueError."""
        ...

    def fit(self, value: Value, size: Size, box: Box = WHOLE, flip: bool = False) -> Tensor:
        """Crop a value to `box`, resize it to (H, W) and optionally mirror it, as a tensor (C, H, W) or (K,)."""
        ...

    def resize(self, fitted: Tensor, size: Size) -> Tensor:
        """Resize fitted values (N, C, h, w) to (N, C, H, W), on any device."""
        ...

    def encode(self, fitted: Tensor, dtype: torch.dtype) -> Tensor:
        """Return fitted values (N, C, H, W) as the networks get them: floats of `dtype`, or integers."""
        ...

    def decode(self, x: Tensor) -> Value:
        """Return one encoded value, (C, H, W) or (K,), on any device, as a value; limit numbers to those allowed."""
        ...

    def scale(self, value: Value, size: Size) -> Value:
        """Resize a value to (H, W), for results of another size than that of the networks."""
        ...

    def show(self, value: Value) -> PIL.Image.Image:
        """Return a value as an RGB picture for people."""
        ...

    def file(self, value: Value, suffix: str) -> bytes:
        """Return the contents of a file with one of the `suffixes`. Raises ValueError if that is impossible."""
        ...

    def example(self, size: Size, rng: np.random.Generator) -> Tensor:
        """Return a fitted value of random numbers, of the shape and type that `fit` returns."""
        ...


def number_at(number: float | Schedule, step: int) -> float:
    """Return the value at a step of a parameter that is annotated `float | Schedule`."""
    return number(step) if callable(number) else number


@runtime_checkable
class Transform(Protocol):
    """A transform of torchvision.transforms.v2, which `data.augment.also` names."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any: ...


@runtime_checkable
class Dataset(Protocol):
    """A data set of pictures in named domains. The core samples, augments and batches them.

    It is pickled to be sent to data workers, so it should not hold pictures in memory.
    """

    domains: Sequence[str]
    """Names of the domains, in the order of the class index y."""
    paired: bool
    """True if the pictures number i of all domains are translations of each other."""

    def count(self, domain: int) -> int:
        """Return the number of pictures in a domain."""
        ...

    def picture(self, domain: int, index: int) -> PIL.Image.Image:
        """Return picture `index` of a domain, in mode RGB, of any size."""
        ...


@runtime_checkable
class RecordDataset(Protocol):
    """A data set of records: pictures of any format and size, with further fields that belong to them.

    `domains`, `paired` and `count` are those of a `Dataset`.
    """

    domains: Sequence[str]
    paired: bool
    formats: Mapping[str, Format]
    """Formats of the pictures by domain; a domain without one has RGB pictures."""
    sizes: Mapping[str, Size]
    """Sizes of the pictures by domain; a domain without one has the recipe's `data.image_size`."""
    fields: Mapping[str, Format]
    """Formats of the other fields of records. Their names must be known before the data set is built: as a class
    attribute with the same names, or as the keys of a parameter `fields`."""

    def count(self, domain: int) -> int: ...

    def record(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> Mapping[str, Value]:
        """Return fields of record `index` of a domain, by name; `x` is its picture.

        wanted: names of the fields to return. rng: random numbers for a choice of its own, such as a degradation; they
        are a function of the seed, the sample and the role of the record, and a record and its pair get the same.
        """
        ...


@runtime_checkable
class Cacheable(Protocol):
    """A data set that `data.cache` can cache. It has to be thread-safe, and to make no random choice."""

    def fingerprint(self) -> str:
        """Return a text that changes whenever a picture does, for example names, sizes and times of the files."""
        ...


class Records(Protocol):
    """The records of a data set as the networks get them: uncropped, at the sizes of their domains."""

    domains: Sequence[str]
    paired: bool

    def count(self, domain: int) -> int: ...

    def format(self, domain: int, field: str = "x") -> Format:
        """Return the format of a field; `x` is the picture."""
        ...

    def batch(self, domain: int, indices: Sequence[int], fields: Sequence[str] = ("x",)) -> dict[str, Tensor]:
        """Return fields of some records of a domain by name, encoded, (N, ...) in float32 or integers, on the CPU."""
        ...


RunT_contra = TypeVar("RunT_contra", contravariant=True)


@runtime_checkable
class Trainer(Protocol[RunT_contra]):
    """The training loop."""

    def train(self, run: RunT_contra) -> None:
        """Train from iteration `run.step` to `run.recipe.steps`, or until `run.stopping`."""
        ...


class TensorView(Protocol):
    """A named tensor as a function of a batch, computed without gradients from the run's `eval_networks`."""

    fields: Collection[str]
    """Names of the batch fields that the tensor depends on."""

    def __call__(self, batch: Mapping[str, Tensor], *, draw: int = 0, shared: bool = False) -> Tensor:
        """Return the tensor for N samples, (N, ...), as float32 on the CPU.

        batch: fields of N samples on the CPU, as the networks get them. The batch is computed in parts of the size used
        in training, so N does not raise the peak memory.
        draw: number of the draw of latents; each number gives other latents.
        shared: use the same latents for all samples.
        """
        ...


class Stateful(Protocol):
    """A component that remembers: what it gives is in checkpoints, and a resumed run gives it back.

    Each process has its own state, unless the component has the attribute `same_in_all_processes = True`.
    """

    def state_dict(self) -> Mapping[str, Tensor]: ...
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class RunContext(Protocol):
    """The members of a run that a hook may use."""

    step: int
    """Number of finished iterations."""
    recipe: Recipe
    """The recipe, with all defaults filled in."""
    folder: Path | None
    """The run's folder, or None for a trial run that writes no files."""
    is_main: bool
    """True in the main process, the one that writes files and prints."""
    accelerator: Accelerator
    """The `Accelerator` of this process: device, number of processes, trackers."""
    networks: Mapping[str, nn.Module]
    """The networks that are trained, by name."""
    eval_networks: MutableMapping[str, nn.Module]
    """The networks to use for inference, by name: those in `networks`, or averages (EMA) that a hook puts here."""
    training: Records
    """The records of training."""
    validation: Records
    """The held-out records, or those of training if the recipe has no `data.validation`."""

    @property
    def stopping(self) -> bool:
        """True if the processes agreed to stop after this iteration."""
        ...

    def tensor(self, name: str, phase: str | None = None) -> TensorView:
        """Return a named tensor, under the aliases of `phase` if given. Raises RecipeError if nothing defines it."""
        ...

    def log(self, values: Mapping[str, float]) -> None:
        """Append numbers to metrics.jsonl and send them to the trackers. Every process has to call it."""
        ...

    def save(self, keep: int | None = None) -> Path | None:
        """Save a checkpoint of this step, and delete all but the newest `keep` once a further step was made from it.

        Every process has to call it. A step that has a checkpoint is not saved again. Returns the path of a new
        checkpoint in the main process, else None. Raises Diverged if weights are not finite.
        """
        ...


class Hook(Protocol):
    """An object with methods named after events. Each method takes any of the event's arguments, by name.

    A hook with `state_dict()` and `load_state_dict(state)`, a flat mapping of names to tensors, is saved in checkpoints
    and restored on resume. Hooks are called in the order of the recipe. A class attribute `order = "first"` or
    `order = "last"` moves a hook before or after the others; a hook with a `state_dict` is first by default.
    """

    def run_start(self, run: RunContext) -> None:
        """Called once before training, when everything is built and `run.step` is set.

        Create the tensors that `state_dict` returns here; on resume, the saved state is loaded into them next.
        """

    def before_phase(self, run: RunContext, phase: str) -> None:
        """Called before a phase computes its losses, in steps in which it runs."""

    def after_phase(self, run: RunContext, phase: str, losses: Mapping[str, Tensor]) -> None:
        """Called after a phase stepped its networks, whose gradients are still set, in steps in which it runs.

        losses: unweighted losses of the phase by name, as 0-d tensors on the device.
        """

    def after_step(self, run: RunContext, losses: Mapping[str, Tensor]) -> None:
        """Called after an iteration, which `run.step` already counts.

        losses: unweighted losses by "phase/loss", as 0-d tensors on the device.
        """

    def checkpoint_saved(self, run: RunContext, path: Path) -> None:
        """Called in the main process after a checkpoint was saved at `path`."""

    def run_end(self, run: RunContext) -> None:
        """Called after the last iteration and its checkpoint; not called if training stops early."""


EVENTS = tuple(name for name in vars(Hook) if not name.startswith("_"))
