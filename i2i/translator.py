"""The translator: applies a trained model to pictures and styles."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, get_args

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from i2i.building import specs_of, without_memory
from i2i.fitting import Fit, PixelBox, fit
from i2i_core.data.batches import to_device, to_picture
from i2i_core.data.pictures import as_rgb, read_picture, why_broken
from i2i_core.disk.matching import match
from i2i_core.errors import CheckpointError, DataError, UsageError, did_you_mean
from i2i_core.models.folder import Guide, Model
from i2i_core.plan.draws import Draws
from i2i_core.plan.fields import EVERY_FIELD
from i2i_core.plan.planner import PlannedTensors, Planner, Unresolved
from i2i_core.plan.tensors import Node, definitions, method_tensors
from i2i_core.plan.values import Values
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.specs import build

T = TypeVar("T")

MEAN_OF = 1024
"""The number of latents whose styles are averaged to the mean style of a domain."""
Picture = Image.Image | str | Path


@dataclass(frozen=True)
class Style:
    """A style of a domain."""

    domain: int
    """The class index y."""
    codes: Mapping[str, Tensor]
    """The style codes that the translation reads, each (1, ...)."""
    seed: int = 0
    """The seed of other random numbers that the translation draws."""

    def __repr__(self) -> str:
        codes = ", ".join(f"{name} {tuple(code.shape[1:])}" for name, code in self.codes.items())
        return f"Style(domain={self.domain}, seed={self.seed}, codes: {codes or 'none'})"

    def towards(self, other: Style, share: float) -> Style:
        """Interpolate linearly from this style (`share` 0) to `other` (1); other values extrapolate."""
        codes = {name: torch.lerp(code, other.codes[name], share) for name, code in self.codes.items()}
        return Style(self.domain if share < 0.5 else other.domain, codes, self.seed)


class Translator:
    """A trained model that translates pictures.

        model = i2i.load("models/emoji")
        model(picture, domain="high_contrast", seed=3)
        model(picture, domain="high_contrast", reference=other)

    Pictures may have any size. To translate the same pictures into many styles, use `sources`.
    """

    def __init__(
        self, model: Model, plugins: Plugins, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        """Build the components that `model` names.

        Raises PluginError for plugins that are not installed, and CheckpointError for a model that does not match them.
        """
        config = model.config
        self.model, self.device, self.dtype = model, device, dtype
        self.domains = tuple(config.domains)
        """The names of the domains, in the order of the class index y."""
        self.targets = tuple(config.targets)
        """The names of the target domains."""
        self.image_size = config.image_size
        """The size (H, W) of the networks' input."""
        self.guides = config.guides
        """The sources of a style ("latent", "reference", or "plain" for none), each with the tensors of its codes."""
        method, networks, tensors = specs_of(model, plugins)
        facts = {"image_size": self.image_size, "num_domains": len(self.domains), "domains": self.domains}
        without_memory(tensors, facts, model)
        for name, network in without_memory(networks, facts, model).items():
            theirs = model.networks.get(name, {})
            ours = {
                key: theirs.get(key, torch.empty(0)) if is_lazy(tensor) else tensor  # its weights determine its size
                for key, tensor in network.state_dict().items()
            }
            match(
                {name: ours},
                {name: theirs},
                f"the weights of the model {model.name} do not fit its networks",
                "networks",
                "weights",
            )
        self.networks: dict[str, nn.Module] = {}
        for name, spec in networks.items():
            network = build(spec, facts).to(device, dtype)  # before the weights are loaded, which may be more precise
            network.load_state_dict(dict(model.networks[name]))
            self.networks[name] = self._placed(network)
        steps = config.training.get("steps")
        self._given: dict[str, Any] = {**self.networks, "step": steps if isinstance(steps, int) else 0}
        """What tensors read besides the fields of a batch; for them, training has just ended."""
        calls = {name: self._placed(build(spec, facts)) for name, spec in tensors.items()}
        self._definitions = definitions(method_tensors(method.target), tensors, calls)
        self._face_finders = [call.faces for call in calls.values() if hasattr(call, "faces")]
        self.mean_style = cache(self._mean_style)
        """`mean_style(y)`: the mean of a domain's styles from latents, which is the style for `psi` 0."""

    def _placed(self, made: T) -> T:
        if isinstance(made, nn.Module):
            made.to(self.device, self.dtype).eval().requires_grad_(False)
        return made

    def __repr__(self) -> str:
        height, width = self.image_size
        return (
            f"Translator({self.model.name!r}: {', '.join(self.domains)} -> {', '.join(self.targets)}; "
            f"{width} x {height} pixels; styles: {', '.join(self.guides)}; on {self.device})"
        )

    def __call__(
        self,
        picture: Picture | Iterable[Picture],
        *,
        domain: str | None = None,
        reference: Picture | None = None,
        seed: int | None = None,
        psi: float = 1.0,
        fit_by: Fit = "keep",
    ) -> Any:
        """Translate a picture into `domain`; for several pictures, return a list of translations.

        picture: a path, a PIL image, or an iterable of these.
        reference: a picture of the domain from which the style is taken.
        seed: the seed of the latent from which the style is made, if there is no reference; by default 0.
        psi: truncation, from 0 (the mean style of the domain) to 1 (the style as the model makes it).
        fit_by: the way to fit pictures to the size of the networks: "keep", "crop" or "stretch".

        Raises UsageError and DataError.
        """
        if seed is not None and reference is not None:
            raise UsageError("a style comes from either a seed or a reference; leave one of them out")
        if isinstance(picture, Image.Image | str | bytes | Path) or not isinstance(picture, Iterable):
            return self([picture], domain=domain, reference=reference, seed=seed, psi=psi, fit_by=fit_by)[0]
        references = [] if reference is None else [reference]
        (style,) = self.styles(domain, seeds=[seed or 0] if reference is None else [], references=references, psi=psi)
        return self.sources(picture, fit_by).translated(style)

    def domain(self, name: str | None) -> int:
        """Return the class index of a target domain; raises UsageError for other names."""
        if name is None and len(self.targets) > 1:
            raise UsageError(f"name a domain: {', '.join(self.targets)}")
        name = self.targets[0] if name is None else name
        if name not in self.targets:
            hint = did_you_mean(str(name), self.targets)
            raise UsageError(f"the model cannot translate into a domain {name} ({hint})")
        return self.domains.index(name)

    @torch.no_grad()
    def styles(
        self, domain: str | None, *, seeds: Sequence[int] = (), references: Sequence[Picture] = (), psi: float = 1.0
    ) -> list[Style]:
        """Return styles of a domain: one for each seed, then one for each reference."""
        if not math.isfinite(psi):
            raise UsageError(f"psi is {psi}; it should be a number from 0 (the mean style) to 1 (the style as trained)")
        if psi != 1 and not self.guides.get("latent"):
            raise UsageError("psi needs the mean of styles from latents, and the model has none; leave psi out")
        y = self.domain(domain)
        found = []
        if seeds:
            if "latent" not in self.guides and "plain" not in self.guides:
                raise UsageError("the model cannot make styles from latents; name a reference")
            whole = list(map(_whole, seeds))
            found += [Style(y, self._codes("latent", y, {}, self._draws(seed, 1)), seed) for seed in whole]
        if references:
            if "reference" not in self.guides:
                raise UsageError("the model cannot take styles from references; leave the reference out")
            for picture in references:  # one at a time, to limit memory
                x_ref = self._tensor(fit(opened(picture), self.image_size, "stretch")[0][None])
                given = {"x_ref": x_ref, "x_ref2": x_ref}
                codes = self._codes("reference", y, given, self._draws(0, 1))
                found.append(Style(y, codes or {"x_ref": x_ref}))
        if psi == 1:
            return found
        return [replace(self.mean_style(y).towards(style, psi), seed=style.seed) for style in found]

    def _mean_style(self, y: int) -> Style:
        return Style(y, {name: code.mean(0, keepdim=True) for name, code in self.sample_codes(y, MEAN_OF).items()})

    @torch.no_grad()
    def sample_codes(self, y: int, count: int) -> dict[str, Tensor]:
        """Return the codes of `count` styles of a domain from latents, each (count, ...)."""
        return self._codes("latent", y, {}, self._draws(0, count), count)

    def _codes(
        self, guide: Guide, y: int, given: Mapping[str, Tensor], draws: Draws, count: int = 1
    ) -> dict[str, Tensor]:
        where = self.guides.get(guide, {})
        planned = self._planned(tuple(where.values()))
        fields = {"y_trg": torch.full((count,), y, device=self.device), **given}
        made = Values({**self._given, **fields}, draws).of(planned.arguments)
        return {alias: made[name] for alias, name in where.items()}

    def sources(self, pictures: Iterable[Picture] | Tensor, fit_by: Fit = "keep") -> Sources:
        """Prepare pictures to translate them into several styles.

        pictures: paths, PIL images, or a tensor (N, 3, H, W) of the networks' size, uint8 or from -1 to 1. Raises
        UsageError and DataError.
        """
        if fit_by not in get_args(Fit):
            raise UsageError(f"fit_by cannot be {fit_by} ({did_you_mean(str(fit_by), get_args(Fit))})")
        if isinstance(pictures, Tensor):
            return Sources(self, self._tensor(pictures), [(0, 0, *self.image_size[::-1])] * len(pictures))
        fitted = [fit(opened(picture), self.image_size, fit_by) for picture in pictures]
        x_real = torch.stack([x for x, _ in fitted]) if fitted else torch.empty(0, 3, *self.image_size)
        return Sources(self, self._tensor(x_real), [box for _, box in fitted])

    def try_out(self) -> None:
        """Translate a blank picture with each guide; raises UsageError if the result is not a picture."""
        blank = self.sources(torch.zeros(1, 3, *self.image_size))
        for guide in self.guides:
            given: dict[str, Any] = {"references": blank.pictures()} if guide == "reference" else {"seeds": [0]}
            blank.into(self.styles(self.targets[0], **given)[0])

    def without_face(self, pictures: Tensor) -> list[int]:
        """Return the indices of pictures (N, 3, H, W) without a face, if the model's masks are made from faces."""
        if not self._face_finders:
            return []
        x = self._tensor(pictures)
        found = torch.stack([faces(x) for faces in self._face_finders]).all(0)
        return [n for n, face in enumerate(found.tolist()) if not face]

    def _tensor(self, pictures: Tensor) -> Tensor:
        return to_device({"x": pictures}, self.device, self.dtype)["x"].to(self.dtype)

    def _draws(self, seed: int, count: int, shared: bool = False) -> Draws:
        return Draws(seed, 0, 0, count, count, self.device, self.dtype, shared)

    def _planned(self, names: Collection[str], fields: Collection[str] = ()) -> PlannedTensors:
        try:
            return Planner(self._definitions, self.networks, (*EVERY_FIELD, *fields)).tensors(names)
        except Unresolved as error:
            raise CheckpointError(
                f"the model {self.model.name} lacks {error.chain[-1]}, which it needs for {' -> '.join(error.chain)}"
            ) from None


class Sources:
    """Pictures to translate into several styles; tensors that do not depend on the style are computed once."""

    def __init__(self, translator: Translator, x_real: Tensor, boxes: Sequence[PixelBox]) -> None:
        self.translator = translator
        self.x_real = x_real
        """The pictures as a tensor (N, 3, H, W) in [-1, 1]."""
        self.boxes = boxes
        """The box of each picture in (H, W), in pixels: left, top, right, bottom."""
        self._values: dict[frozenset[str], tuple[PlannedTensors, Values, list[Node]]] = {}

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Sources({len(self)} pictures for {self.translator.model.name!r})"

    def pictures(self) -> list[Image.Image]:
        """Return the pictures at the size of the networks, without padding."""
        return [to_picture(x, box) for x, box in zip(self.x_real, self.boxes, strict=True)]

    def translated(self, style: Style) -> list[Image.Image]:
        """Return the translations of the pictures into a style."""
        made = self.into(style) if self.boxes else self.x_real
        return [to_picture(x, box) for x, box in zip(made, self.boxes, strict=True)]

    @torch.no_grad()
    def into(self, style: Style) -> Tensor:
        """Return the translations as a tensor (N, 3, H, W), approximately from -1 to 1."""
        model, count = self.translator, len(self.x_real)
        planned, values, changed = self._planned(frozenset(style.codes))
        for node in changed:
            values.pop(node, None)
        values.draws = model._draws(style.seed, count, shared=True)
        values.given = {
            **model._given,
            "x_real": self.x_real,
            "y_trg": torch.full((count,), style.domain, device=model.device),
            **{name: code.expand(count, *code.shape[1:]) for name, code in style.codes.items()},
        }
        (x_fake,) = values.of(planned.arguments).values()
        if not isinstance(x_fake, Tensor) or x_fake.shape != self.x_real.shape:
            raise UsageError(
                f"the tensor {model.model.config.show} is not a translation: its shape is not that of x_real"
            )
        return x_fake

    @torch.no_grad()
    def tensor(self, name: str) -> Any:
        """Return a named tensor that does not depend on the style, such as "masks"."""
        model = self.translator
        values = Values({**model._given, "x_real": self.x_real}, model._draws(0, len(self.x_real)))
        return values.of(model._planned([name]).arguments)[name]

    def _planned(self, names: frozenset[str]) -> tuple[PlannedTensors, Values, list[Node]]:
        """Return the plan of the translation with these codes, its values, and the nodes that the style changes."""
        if names not in self._values:
            model = self.translator
            planned = model._planned([model.model.config.show], names)
            self._values[names] = planned, Values({}, model._draws(0, 1)), of_style(planned)
        return self._values[names]


def of_style(planned: PlannedTensors) -> list[Node]:
    """List the nodes of a translation that depend on the style, in order."""
    found: dict[Node, None] = {}
    for node in planned.nodes:
        given = node.random or (node.kind == "field" and node.name != "x_real")
        if given or any(argument in found for _, argument in node.arguments):
            found[node] = None
    return list(found)


def _whole(seed: SupportsIndex) -> int:
    """Convert a seed to an int: other types, such as numpy integers, would give other styles."""
    try:
        return index(seed)
    except TypeError:
        raise UsageError(f"a seed must be an integer, not {seed!r}") from None


def opened(picture: Picture) -> Image.Image:
    """Open a picture as RGB; raises DataError if it cannot be read, UsageError for other types."""
    if isinstance(picture, str | Path):
        return read_picture(Path(picture))
    if not isinstance(picture, Image.Image):
        raise UsageError(
            f"a picture must be a path or a PIL image, not {type(picture).__name__}; convert an array with "
            f"PIL.Image.fromarray"
        )
    if 0 in picture.size:
        raise DataError("the picture cannot be used: it has no pixels")
    try:
        return as_rgb(ImageOps.exif_transpose(picture))
    except Exception as error:  # decoding may raise anything
        raise DataError(f"the picture cannot be used: {why_broken(error)}") from error
