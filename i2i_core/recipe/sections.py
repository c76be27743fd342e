"""A recipe: the whole experiment as data. This file knows its shape; what the names mean is checked later."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from i2i_core.errors import Mark
from i2i_core.recipe.document import Document
from i2i_core.recipe.document import Path as Place
from i2i_core.recipe.names import LossGroup, Names, NetworkName, NetworkOrDefault, shorthand

DEFAULT_HOOKS = ("progress", "metrics", "checkpoint")
DEFAULT_OPTIMIZER = "adam"
TALKING_HOOKS = ("progress", "tracker")
"""They talk to people and services."""


_BARE_NAME = shorthand(str, lambda name: {"use": name})


def _refuse_fp16(value: Any) -> Any:
    if value in ("fp16", "float16", 16):
        raise ValueError(
            "fp16 is refused: its gradient scaler is shared by all optimizers of a step, "
            "which scales every one after the first wrongly; use bf16 or fp32"
        )
    return value


def without_nulls(section: Any) -> Any:
    """A section of which every line is commented out, and what `--set losses.generator.cycle=null` takes away."""
    if isinstance(section, dict):
        return {name: value for name, value in section.items() if value is not None}
    return {} if section is None else section


_NULLS_ARE_OUT = BeforeValidator(without_nulls)


class Section(BaseModel):
    """What takes no keys but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Use(BaseModel):
    """A component: `use` names it; keys that are not the core's are its parameters, or choose the tensors it reads."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    use: str
    """The component's name."""

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


Named = Annotated[Use, _BARE_NAME]


def schedule(value: Any) -> Any:
    """The component that a number or a ramp is short for: {ramp: [0, 1], curve: cosine} is {use: cosine, ...}."""
    if isinstance(value, dict) and "use" not in value:
        return {"use": value.get("curve", "linear"), **{key: inner for key, inner in value.items() if key != "curve"}}
    if isinstance(value, int | float):
        return {"use": "constant", "value": value}
    if not isinstance(value, dict | Use):
        raise PydanticCustomError("float_type", "Input should be a number")
    return value


WrittenSchedule = Annotated[Use, BeforeValidator(schedule, float | dict[str, Any])]


class Term(Use):
    """A loss term of a group: weight × loss(tensors), in every n-th step (then × n), with its own aliases."""

    weight: WrittenSchedule = Field(default=1.0, validate_default=True)
    """A number, or a [schedule](#schedules) such as {ramp: [from, to], over: steps}."""
    every: PositiveInt = 1
    """Compute the loss in every n-th iteration only, multiplied by n."""
    where: dict[str, str] = {}
    """Aliases for this loss only."""


class Phase(Section):
    """The networks to train, the groups of losses to minimise, and the aliases."""

    train: Names[NetworkName]
    """Networks that this phase trains."""
    losses: Names[LossGroup]
    """Groups of losses that it minimises."""
    where: dict[str, str] = {}
    """Aliases for this phase."""


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("write the smaller number first")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_IN_ORDER = AfterValidator(_in_order)


class Augment(Section):
    """Augmentation of training pictures."""

    crop: Probability = 0.5
    """Probability of a random resized crop."""
    scale: Annotated[tuple[Share, Share], _IN_ORDER] = (0.8, 1.0)
    """Range of the crop's area, as a share of the picture."""
    ratio: Annotated[tuple[Ratio, Ratio], _IN_ORDER] = (0.9, 1.1)
    """Range of the crop's aspect ratio."""
    flip: Probability = 0.5
    """Probability of a horizontal flip."""


_Size = tuple[PositiveInt, PositiveInt]
_SQUARE = shorthand(int, lambda side: (side, side), PositiveInt | _Size)


class Data(Use):
    """The data set and how it is batched; other keys are the data set's own."""

    image_size: Annotated[_Size, _SQUARE]
    """Height and width in pixels; one number for both."""
    cache: Annotated[_Size, _SQUARE] | None = None
    """Height and width at which decoded pictures are kept in the user's cache; null decodes them every time."""
    batch_size: PositiveInt
    """Samples per step over all processes."""
    gradient_accumulation: PositiveInt = 1
    """Number of parts in which a process computes its share of a batch: less memory, the same gradients."""
    workers: NonNegativeInt = 0
    """Processes that load pictures, per training process; 0 loads in the training process."""
    targets: Literal["all", "others"] | Annotated[dict[str, Names[str]], Field(min_length=1)] = "all"
    """Target domains of a picture: all, including its own, as in StarGAN v2; only others; or a mapping of each source
    domain to one target domain or a list of them."""
    augment: Augment = Augment()
    validation: dict[str, Any] | None = None
    """Keys of the data set that differ for the held-out pictures."""

    @field_validator("gradient_accumulation")
    @classmethod
    def _parts(cls, parts: int, others: ValidationInfo) -> int:
        if (samples := others.data.get("batch_size", parts)) % parts:
            raise ValueError(f"a batch of {samples} samples has no {parts} equal parts")
        return parts

    @field_validator("cache")
    @classmethod
    def _enough(cls, cache: _Size | None, others: ValidationInfo) -> _Size | None:
        height, width = others.data.get("image_size", (1, 1))
        if cache and (cache[0] < height or cache[1] < width):
            raise ValueError(
                f"pictures of {cache[0]} x {cache[1]} pixels would be enlarged to the image_size of "
                f"{height} x {width}; write {max(height, width)} or more"
            )
        if cache and 3 * cache[0] * cache[1] > 2_000_000_000:  # NumPy has no larger records
            raise ValueError(
                f"a picture of {cache[0]} x {cache[1]} pixels would take more than 2 GB; write a smaller size"
            )
        return cache


def _with_default_hooks(hooks: Any) -> Any:
    hooks = {} if hooks is None else hooks
    if not isinstance(hooks, dict):
        return hooks
    return {name: name for name in DEFAULT_HOOKS} | {
        name: {"use": name, **use} if name in DEFAULT_HOOKS and isinstance(use, dict) else use
        for name, use in hooks.items()
    }


_Hooks = dict[str, Annotated[Use | None, _BARE_NAME]]


class Recipe(Section):
    """The top level of a recipe; the sections hold names of components, never import paths."""

    i2i: Literal[1]
    """Version of the recipe format."""
    steps: PositiveInt
    """Number of iterations."""
    seed: NonNegativeInt = 0
    """Seed for weights, order, augmentation and latents."""
    precision: Annotated[Literal["fp32", "bf16", "fp64"], BeforeValidator(_refuse_fp16)] = "fp32"
    """Floating-point precision; fp64 is for comparisons; fp16 is not supported."""
    channels_last: bool | Literal["auto"] = "auto"
    """Use the channels-last memory format, which changes speed and rounding; auto: where it is known to be faster."""
    tf32: bool = True
    """Allow GPUs to multiply float32 numbers with 10 bits of the mantissa."""
    compile: bool | Names[NetworkName] = False
    """Networks to compile with torch.compile: all, including those in tensors and losses, or a list."""
    activation_checkpointing: bool | Names[NetworkName] = False
    """Networks that recompute activations in the backward pass: less memory, the same gradients."""
    requires: Annotated[dict[str, str], _NULLS_ARE_OUT] = {}
    """Required versions of i2i, plugins or distributions."""
    method: Named
    """The method, which defines named tensors: x_fake, s_latent, ..."""
    data: Data
    """The data set and how it is batched."""
    networks: dict[str, Named] = Field(min_length=1)
    """Networks by name; parameters that depend on the data are filled in."""
    weights: Path | None = None
    """Folder of a model to start from; networks that it lacks start from the seed."""
    tensors: Annotated[dict[str, Named], _NULLS_ARE_OUT] = {}
    """Named tensors that add to or replace those of the method."""
    losses: dict[str, Annotated[dict[str, Annotated[Term, _BARE_NAME]], _NULLS_ARE_OUT]]
    """Groups of losses; a loss reads tensors and networks by its argument names."""
    phases: dict[str, Phase] = Field(min_length=1)
    """Phases of an iteration, in order."""
    optimizers: Annotated[dict[NetworkOrDefault, dict[str, Any]], _NULLS_ARE_OUT] = {}
    """The default optimizer, and the keys that differ for a network."""
    hooks: Annotated[_Hooks, BeforeValidator(_with_default_hooks, _Hooks | None)] = Field(
        default={}, validate_default=True
    )
    """Hooks by name; progress, metrics and checkpoint are present by default; null removes one."""
    trainer: Named = Use(use="phases")
    """The training loop."""
    _document: Document

    @property
    def document(self) -> Document:
        """What was written, mistakes of shape included; they are left out of this recipe."""
        return self._document

    def names(self, section: str) -> list[str]:
        """The names in a section, also those of what was left out; null takes a tensor away."""
        written = self._document.data.get(section)
        named = written if isinstance(written, dict) else {}
        return [name for name, value in named.items() if value is not None or section != "tensors"]

    def mark(self, *path: str | int, key: bool = False) -> Mark:
        """Where `path` was written: the value, or with `key` its key."""
        return self._document.mark(path, key)

    def optimizer(self, network: str) -> dict[str, Any]:
        """The keys of `network`'s optimizer: its own over the default's, unless it is another kind of optimizer."""
        own = self.optimizers.get(network, {})
        default = {"use": DEFAULT_OPTIMIZER, **self.optimizers.get("default", {})}
        return dict(own) if "use" in own and own["use"] != default["use"] else {**default, **own}

    def terms(self, phase: str) -> list[tuple[str, Term]]:
        """A phase's losses by name; with several groups the name says which: "group.term"."""
        groups = self.phases[phase].losses
        return [
            (name if len(groups) == 1 else f"{group}.{name}", term)
            for group in groups
            for name, term in self.losses[group].items()
        ]

    def all_hooks(self) -> dict[str, Use]:
        """The recipe's hooks and the default ones that it does not replace or set to null."""
        return {name: use for name, use in self.hooks.items() if use is not None}

    def silenced(self) -> list[str]:
        """What to `--set` for a run that nobody watches: a rehearsal, a test."""
        return [f"hooks.{name}=null" for name, hook in self.all_hooks().items() if hook.use in TALKING_HOOKS]


OPTIMIZER_KEYS: dict[str, Any] = {"lr": WrittenSchedule, "clip_norm": Ratio | None}
"""What the core reads of an optimizer's keys: a rate that changes, which the optimizer itself takes as a number, and
the norm to which gradients are clipped."""
RESERVED = {
    "loss": Term.model_fields.keys() - {"use"},
    "dataset": Data.model_fields.keys() - {"use"},
    "optimizer": OPTIMIZER_KEYS.keys(),
}
"""The core's own keys among those of a component, by its kind."""


def keys_at(path: Place) -> Iterable[str]:
    """The keys that the core knows in the section at `path`."""
    sections: dict[Any, type[BaseModel]] = {"phases": Phase, "data": Augment}
    return (sections.get(path[0], Recipe) if path else Recipe).model_fields
