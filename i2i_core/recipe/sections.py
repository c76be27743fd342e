"""The sections of a recipe as pydantic models. Names of components are resolved later, by the registry and the plan."""

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
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from i2i_core.errors import Mark
from i2i_core.recipe.document import Document, json_in_yaml
from i2i_core.recipe.document import Path as Place
from i2i_core.recipe.names import FileName, LossGroup, Names, NetworkName, NetworkOrDefault, shorthand

DEFAULT_HOOKS = ("progress", "metrics", "checkpoint")
DEFAULT_OPTIMIZER = "adam"
TALKING_HOOKS = ("progress", "tracker")
"""Hooks that write to the terminal or to a service."""


_BARE_NAME = shorthand(str, lambda name: {"use": name})


def _refuse_fp16(value: Any) -> Any:
    if value in ("fp16", "float16", 16):
        raise ValueError(
            "fp16 is refused: its gradient scaler is shared by all optimizers of a step, "
            "which scales every one after the first wrongly; use bf16 or fp32"
        )
    return value


def without_nulls(section: Any) -> Any:
    """Return a section without its null values.

    A section whose lines are all commented out is null; `--set losses.generator.cycle=null` removes one entry.
    """
    if isinstance(section, dict):
        return {name: value for name, value in section.items() if value is not None}
    return {} if section is None else section


_NULLS_ARE_OUT = BeforeValidator(without_nulls)


class Section(BaseModel):
    """A section that allows no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Use(BaseModel):
    """A component. `use` names it; keys that are not the core's are its parameters, or rename the tensors it reads."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    use: str
    """The component's name."""

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


Named = Annotated[Use, _BARE_NAME]


class Network(Use):
    """A network. Keys that are not in this table are its parameters."""

    frozen: bool = False
    """Keep its parameters and buffers as they are: no phase trains it, and it is in eval mode. Gradients pass through
    it to the networks that it is computed from."""


def schedule(value: Any) -> Any:
    """Expand the shorthands of a schedule: a number, a ramp such as {ramp: [0, 1], curve: cosine}, a plugin's name."""
    if isinstance(value, dict) and "use" not in value:
        return {"use": value.get("curve", "linear"), **{key: inner for key, inner in value.items() if key != "curve"}}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"use": "constant", "value": value}
    if isinstance(value, str) and "/" in value:
        return {"use": value}
    if not isinstance(value, dict | Use):
        raise PydanticCustomError("float_type", "Input should be a number")
    return value


def is_schedule(value: Any) -> bool:
    """Return True if a value is a schedule where a number is allowed, too: a ramp, or a component."""
    if isinstance(value, dict):
        return "ramp" in value or "use" in value
    return isinstance(value, str) and "/" in value


WrittenSchedule = Annotated[Use, BeforeValidator(schedule, float | str | dict[str, Any])]


class Term(Use):
    """A loss in a group. It adds weight × every × loss(tensors) to the objective at every `every`-th iteration."""

    weight: WrittenSchedule = Field(default=1.0, validate_default=True)
    """Factor of the loss: a number, or a [schedule](#schedules) such as {ramp: [from, to], over: steps}. A loss of
    weight 0 is logged but not minimised."""
    every: PositiveInt = 1
    """Period in iterations. With n, the loss is computed at every n-th iteration and multiplied by n."""
    where: dict[str, str] = {}
    """Aliases for this loss alone, {name: tensor}: the loss reads `tensor` wherever `name` is used."""


class Phase(Section):
    """One phase of an iteration: the networks to train, the losses to minimise, and aliases of tensors."""

    train: Names[NetworkName]
    """Networks that this phase trains, one name or a list."""
    losses: Names[LossGroup]
    """Groups of losses whose sum it minimises, one name or a list."""
    where: dict[str, str] = {}
    """Aliases in this phase, {name: tensor}: its losses read `tensor` wherever `name` is used."""
    every: PositiveInt = 1
    """Period in steps: the phase runs at steps that are multiples of it. Its losses are not multiplied by it."""
    after: NonNegativeInt = 0
    """First step at which the phase may run, counted from 0."""
    until: PositiveInt | None = None
    """Step from which on the phase no longer runs; null: none."""

    @field_validator("until")
    @classmethod
    def _later(cls, until: int | None, others: ValidationInfo) -> int | None:
        if until is not None and until <= (after := others.data.get("after", 0)):
            raise ValueError(f"the phase begins at step {after}, so it cannot end at step {until}; write a later one")
        return until

    def due(self, step: int) -> bool:
        """Return True if the phase runs at this step."""
        return step >= self.after and (self.until is None or step < self.until) and step % self.every == 0

    @property
    def first(self) -> int:
        """The first step at which the phase is due, unless it ends before."""
        return -(-self.after // self.every) * self.every

    @property
    def when(self) -> str:
        """When the phase runs, in words, or "" if it always does."""
        said = (
            f"every {self.every:,} steps" * (self.every > 1),
            f"from step {self.after:,}" * (self.after > 0),
            f"until step {self.until:,}" if self.until is not None else "",
        )
        return " ".join(filter(None, said))


ALWAYS: dict[str, Any] = {"every": 1, "after": 0, "until": None}
"""The keys of a phase that runs at every step."""


class ModelUse(Section):
    """A use of the trained model: what it computes, and of what. Translation, sample grids and exports follow it."""

    show: FileName = "x_fake"
    """The named tensor that is the result."""
    where: dict[FileName, FileName] = {}
    """Aliases under which it is computed, {name: tensor}, as in a phase. Tensors that depend on no picture to translate
    are style codes."""
    source: FileName = "x_real"
    """The batch field that the picture to translate stands for."""
    inputs: dict[FileName, FileName] = {}
    """Further inputs by the name that users give them: the batch field that each stands for."""
    like: FileName | None = None
    """The batch field whose format and size the result has; null: x_ref, or x_real for another source than x_real."""

    @property
    def result(self) -> str:
        """The batch field whose format and size the result has."""
        return self.like or ("x_ref" if self.source == "x_real" else "x_real")


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("write the smaller number first")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
"""Decay rate of a running average, in [0, 1)."""
Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_IN_ORDER = AfterValidator(_in_order)


class Augment(Section):
    """Random augmentation of training pictures."""

    crop: Probability = 0.5
    """Probability of a random resized crop."""
    scale: Annotated[tuple[Share, Share], _IN_ORDER] = (0.8, 1.0)
    """Range of the crop's area as a fraction of the picture's, in (0, 1]."""
    ratio: Annotated[tuple[Ratio, Ratio], _IN_ORDER] = (0.9, 1.1)
    """Range of the crop's aspect ratio, width / height."""
    flip: Probability = 0.5
    """Probability of a horizontal flip."""
    also: list[Named] = []
    """Further [augmentations](data.md#augmentations) by the names of `torchvision.transforms.v2`, in order, such as
    {use: ColorJitter, brightness: 0.2}. Each changes all fields of a record, and its pair, in the same way."""


Fit = Literal["stretch", "crop", "keep", "patch"]
"""The ways in which a picture comes to the size of the networks.

stretch: the whole picture, resized without keeping its aspect ratio.
crop: its centre with the aspect ratio of that size, resized.
keep: the whole picture, resized with its aspect ratio and padded by mirroring its edges.
patch: a part of exactly that size, not resized: a random one in training, else the centre. Smaller pictures are padded.
"""
_Size = tuple[PositiveInt, PositiveInt]
_SQUARE = shorthand(int, lambda side: (side, side), PositiveInt | _Size)


class Data(Use):
    """The data set and its batching. Keys that are not in this table are parameters of the data set."""

    image_size: Annotated[_Size, _SQUARE]
    """Height and width in pixels that the networks get; one number stands for both."""
    fit: Fit = "stretch"
    """The way in which a picture comes to that size, in training and in all uses of the model: `stretch` resizes the
    whole picture; `crop` its centre, with the right aspect ratio; `keep` resizes the whole picture with its aspect
    ratio and pads it; `patch` cuts a part of exactly that size out of it, without resizing. A patch is at a random
    place, and `augment.crop` does not apply."""
    cache: Annotated[_Size, _SQUARE] | None = None
    """Height and width in pixels at which pictures are decoded once and kept in the user's cache, at least
    `image_size`. null decodes a picture each time it is used."""
    batch_size: PositiveInt
    """Samples per iteration, summed over all processes."""
    gradient_accumulation: PositiveInt = 1
    """Number of equal parts in which each process computes its share of a batch, one after the other. Accumulating
    their gradients takes less memory and gives the same gradients."""
    workers: NonNegativeInt = 0
    """Data workers per training process; 0 loads pictures in the training process itself."""
    targets: Literal["all", "others"] | Annotated[dict[str, Names[str]], Field(min_length=1)] = "all"
    """Target domains of a picture: `all`, its own included, as in StarGAN v2; `others`, all but its own; or a mapping
    from each source domain to one target domain or a list."""
    augment: Augment = Augment()
    """Random augmentation of training pictures."""
    validation: dict[str, Any] | None = None
    """Parameters of the data set of held-out pictures, where they differ from those of the training pictures. null: the
    training pictures are used."""

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
        return cache


def _with_default_hooks(hooks: Any) -> Any:
    hooks = {} if hooks is None else hooks
    if not isinstance(hooks, dict):
        return hooks
    return {name: name for name in DEFAULT_HOOKS} | {
        name: {"use": name, **use} if name in DEFAULT_HOOKS and isinstance(use, dict) else use
        for name, use in hooks.items()
    }


MOST = 500
"""Most networks, and most phases; planning more of them takes long."""
_Hooks = dict[str, Annotated[Use | None, _BARE_NAME]]


class Recipe(Section):
    """The top level of a recipe. Sections hold names of components, never import paths."""

    i2i: Literal[1]
    """Version of the recipe format."""
    steps: PositiveInt
    """Number of iterations."""
    seed: NonNegativeInt = 0
    """Seed of initial weights, sample order, augmentation and latents."""
    precision: Annotated[Literal["fp32", "bf16", "fp64"], BeforeValidator(_refuse_fp16)] = "fp32"
    """Floating-point precision: `bf16` is mixed precision by autocast, `fp64` is for comparisons. fp16 is refused:
    one gradient scaler cannot serve several optimizers in a step."""
    channels_last: bool | Literal["auto"] = "auto"
    """Memory format with channels innermost, which changes speed and rounding. `auto` uses it where it is known to be
    faster."""
    tf32: bool = True
    """Let GPUs multiply float32 numbers in TensorFloat-32, which keeps 10 bits of the mantissa."""
    compile: bool | Names[NetworkName] = False
    """Networks to compile with torch.compile, by name. true compiles all, those inside tensors and losses included."""
    activation_checkpointing: bool | Names[NetworkName] = False
    """Networks whose blocks are recomputed in the backward pass instead of being stored, by name; true means all. This
    takes less memory and gives the same gradients."""
    timeout: PositiveFloat = 300
    """Seconds that a run waits for a batch of its data workers, for a process that is stopped, or without its launcher.
    Then it ends with a message that names the files or the process."""
    requires: Annotated[dict[str, str], _NULLS_ARE_OUT] = {}
    """Required versions by name of i2i, a plugin or a distribution, for example {i2i: ">=0.1"}."""
    method: Named
    """The method: a component that defines named tensors such as x_fake and s_latent."""
    data: Data
    """The data set and its batching."""
    networks: dict[str, Annotated[Network, _BARE_NAME]] = Field(min_length=1, max_length=MOST)
    """Networks by name; tensors, losses and phases refer to these names. Parameters that the data determines, such as
    `image_size` and `num_domains`, are filled in."""
    start_from: Path | None = None
    """Folder of a run, of one of its checkpoints or of a model from which this run starts: from networks, optimizers,
    averages and the state of hooks, or from what a model has of them. Steps are counted from 0."""
    weights: Path | dict[NetworkName, Path | None] | None = None
    """Folder of a model or a run whose weights initialise the networks, or a folder for each network by name. Of a run
    with averages (EMA), these are taken. It has precedence over `start_from`; null: from the seed."""
    heads: Annotated[dict[str, str], _NULLS_ARE_OUT] = {}
    """Domains whose heads start from those of another domain, {domain: domain of the model or run}. By default, heads
    start from those of the domain of the same name, and those of a new domain from the seed."""
    tensors: Annotated[dict[str, Named], _NULLS_ARE_OUT] = {}
    """Named tensors that extend those of the method, or replace those with the same name."""
    losses: dict[str, Annotated[dict[str, Annotated[Term, _BARE_NAME]], _NULLS_ARE_OUT]]
    """Losses by group and name. A loss reads the tensors and networks that its arguments are named after."""
    phases: dict[str, Phase] = Field(min_length=1, max_length=MOST)
    """Phases of one iteration by name, in the order in which they run."""
    optimizers: Annotated[dict[NetworkOrDefault, dict[str, Any]], _NULLS_ARE_OUT] = {}
    """Optimizers by network. The keys of `default` apply to all networks; an entry for a network overrides them, or
    replaces them if it names another optimizer."""
    uses: Annotated[dict[FileName, ModelUse], _NULLS_ARE_OUT] = {}
    """Uses of the trained model by name. By default, they are found: x_fake from latents, from references, or plain."""
    hooks: Annotated[_Hooks, BeforeValidator(_with_default_hooks, _Hooks | None)] = Field(
        default={}, validate_default=True
    )
    """Hooks by name. progress, metrics and checkpoint are present by default; null removes one."""
    trainer: Named = Use(use="phases")
    """The training loop."""
    _document: Document

    @property
    def document(self) -> Document:
        """The document that was read. It also has the invalid values, which this recipe leaves out."""
        return self._document

    def names(self, section: str) -> list[str]:
        """Return the names written in a section, those of invalid entries included; a null tensor is removed."""
        written = self._document.data.get(section)
        named = written if isinstance(written, dict) else {}
        return [name for name, value in named.items() if value is not None or section != "tensors"]

    def mark(self, *path: str | int, key: bool = False) -> Mark:
        """Return the mark of the value at `path`, or with `key` the mark of its key."""
        return self._document.mark(path, key)

    def optimizer(self, network: str) -> dict[str, Any]:
        """Return the keys of `network`'s optimizer, completed by those of `default` if it is the same optimizer."""
        own = self.optimizers.get(network, {})
        default = {"use": DEFAULT_OPTIMIZER, **self.optimizers.get("default", {})}
        return dict(own) if "use" in own and own["use"] != default["use"] else {**default, **own}

    @property
    def starts_elsewhere(self) -> bool:
        """Whether a run starts from another run or from a model, and not from the seed alone."""
        return bool(self.start_from is not None or self.weights is not None or self.heads)

    def due(self, step: int) -> tuple[str, ...]:
        """Return the names of the phases that run at a step, in order."""
        return tuple(name for name, phase in self.phases.items() if phase.due(step))

    def terms(self, phase: str) -> list[tuple[str, Term]]:
        """Return a phase's losses with their names; if it has several groups, a name is "group.term"."""
        groups = self.phases[phase].losses
        return [
            (name if len(groups) == 1 else f"{group}.{name}", term)
            for group in groups
            for name, term in self.losses[group].items()
        ]

    def all_hooks(self) -> dict[str, Use]:
        """Return the hooks by name: the recipe's, and the default ones that it does not replace or set to null."""
        return {name: use for name, use in self.hooks.items() if use is not None}

    def silenced(self) -> list[str]:
        """Return the `--set` assignments that remove hooks with output, for a trial run or a test."""
        return [f"hooks.{name}=null" for name, hook in self.all_hooks().items() if hook.use in TALKING_HOOKS]

    def with_all_phases(self) -> list[str]:
        """Return the `--set` assignments that let all phases run at every step, for a trial run or a test."""
        return [
            f"phases.{name}.{key}={json_in_yaml(value)}"
            for name, phase in self.phases.items()
            for key, value in ALWAYS.items()
            if getattr(phase, key) != value
        ]


class Part(Section):
    """Some of a network's parameters, with a learning rate of their own."""

    lr_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Factor of the network's learning rate."""


OPTIMIZER_KEYS: dict[str, Any] = {"clip_norm": Ratio | None, "parts": dict[str, Part]}
"""Keys of an optimizer that the core reads, by type: the norm to which gradients are clipped, and parts of the network
with a learning rate of their own, by a pattern of their parameters' names."""
RESERVED = {
    "network": Network.model_fields.keys() - {"use"},
    "loss": Term.model_fields.keys() - {"use"},
    "dataset": Data.model_fields.keys() - {"use"},
    "optimizer": OPTIMIZER_KEYS.keys(),
}
"""Keys of a component that belong to the core, by the component's kind."""


def keys_at(path: Place) -> Iterable[str]:
    """Return the core's own keys in the section at `path`."""
    sections: dict[Any, type[BaseModel]] = {"phases": Phase, "data": Augment, "uses": ModelUse}
    return (sections.get(path[0], Recipe) if path else Recipe).model_fields
