"""A trained model in use: pictures and styles in, pictures out."""

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
"""Latents whose styles are averaged for a domain's mean style."""
Picture = Image.Image | str | Path


@dataclass(frozen=True)
class Style:
    """A style of a domain."""

    domain: int
    """The class index y."""
    codes: Mapping[str, Tensor]
    """What the translation reads as its style, each (1, ...)."""
    seed: int = 0
    """Of the random numbers that the translation draws besides."""

    def __repr__(self) -> str:
        codes = ", ".join(f"{name} {tuple(code.shape[1:])}" for name, code in self.codes.items())
        return f"Style(domain={self.domain}, seed={self.seed}, codes: {codes or 'none'})"

    def towards(self, other: Style, share: float) -> Style:
        """The style on the straight line from this one (0) to `other` (1); beyond them it goes on."""
        codes = {name: torch.lerp(code, other.codes[name], share) for name, code in self.codes.items()}
        return Style(self.domain if share < 0.5 else other.domain, codes, self.seed)


class Translator:
    """Translates pictures with a trained model.

        model = i2i.load("models/emoji")
        model(picture, domain="high_contrast", seed=3)
        model(picture, domain="high_contrast", reference=other)

    Pictures of any size come in and go out; for many styles of the same pictures there are `sources`.
    """

    def __init__(
        self, model: Model, plugins: Plugins, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        """Build what `model` names.

        Raises PluginError for plugins that are not installed, CheckpointError for a model that does not fit them.
        """
        config = model.config
        self.model, self.device, self.dtype = model, device, dtype
        self.domains = tuple(config.domains)
        """Names, in the order of the class index y."""
        self.targets = tuple(config.targets)
        """The names of those that pictures can be translated into."""
        self.image_size = config.image_size
        """H and W that the networks see."""
        self.guides = config.guides
        """What can make a style, "latent", "reference" or "plain" (nothing), and which tensors its codes are then."""
        method, networks, tensors = specs_of(model, plugins)
        facts = {"image_size": self.image_size, "num_domains": len(self.domains), "domains": self.domains}
        without_memory(tensors, facts, model)
        for name, network in without_memory(networks, facts, model).items():
            theirs = model.networks.get(name, {})
            ours = {
                key: theirs.get(key, torch.empty(0)) if is_lazy(tensor) else tensor  # sized by its weights
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
            network = build(spec, facts).to(device, dtype)  # before its weights, which may be more precise than its own
            network.load_state_dict(dict(model.networks[name]))
            self.networks[name] = self._placed(network)
        calls = {name: self._placed(build(spec, facts)) for name, spec in tensors.items()}
        self._definitions = definitions(method_tensors(method.target), tensors, calls)
        self._face_finders = [call.faces for call in calls.values() if hasattr(call, "faces")]
        self.mean_style = cache(self._mean_style)
        """`mean_style(y)`: the mean of a domain's styles from latents, where `psi` 0 leads."""

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
        """The translation of a picture into a style of `domain`; of several pictures, a list of theirs.

        The style is that of `reference`, a picture of the domain, or comes from latents drawn with `seed` (0 if neither
        is given), nearer to the domain's mean style for `psi` below 1. Pictures are paths or PIL images, which become
        RGB as files do. fit_by: how one comes to the networks' size and back, see `i2i.fitting.Fit`. Raises UsageError
        and DataError.
        """
        if seed is not None and reference is not None:
            raise UsageError("a style comes from a seed or from a reference; leave one of them out")
        if isinstance(picture, Image.Image | str | bytes | Path) or not isinstance(picture, Iterable):
            return self([picture], domain=domain, reference=reference, seed=seed, psi=psi, fit_by=fit_by)[0]
        references = [] if reference is None else [reference]
        (style,) = self.styles(domain, seeds=[seed or 0] if reference is None else [], references=references, psi=psi)
        return self.sources(picture, fit_by).translated(style)

    def domain(self, name: str | None) -> int:
        """The class index of a domain that can be translated into; raises UsageError."""
        if name is None and len(self.targets) > 1:
            raise UsageError(f"name a domain: {', '.join(self.targets)}")
        name = self.targets[0] if name is None else name
        if name not in self.targets:
            hint = did_you_mean(str(name), self.targets)
            raise UsageError(f"the model has no domain {name} to translate into ({hint})")
        return self.domains.index(name)

    @torch.no_grad()
    def styles(
        self, domain: str | None, *, seeds: Sequence[int] = (), references: Sequence[Picture] = (), psi: float = 1.0
    ) -> list[Style]:
        """Styles of a domain: one of each seed, then one of each reference picture."""
        if not math.isfinite(psi):
            raise UsageError(f"psi is {psi}; it should be a number from 0, the mean style, to 1, a style as trained")
        if psi != 1 and not self.guides.get("latent"):
            raise UsageError("psi leads to the mean of styles from latents, and the model has none; leave it out")
        y = self.domain(domain)
        found = []
        if seeds:
            if "latent" not in self.guides and "plain" not in self.guides:
                raise UsageError("the model takes no styles from latents; name a reference")
            whole = list(map(_whole, seeds))
            found += [Style(y, self._codes("latent", y, {}, self._draws(seed, 1)), seed) for seed in whole]
        if references:
            if "reference" not in self.guides:
                raise UsageError("the model takes no styles from references; leave the reference out")
            for picture in references:  # one at a time: each at most as large as a picture to translate
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
        """Codes of so many styles of a domain from latents, each (count, ...)."""
        return self._codes("latent", y, {}, self._draws(0, count), count)

    def _codes(
        self, guide: Guide, y: int, given: Mapping[str, Tensor], draws: Draws, count: int = 1
    ) -> dict[str, Tensor]:
        where = self.guides.get(guide, {})
        planned = self._planned(tuple(where.values()))
        fields = {"y_trg": torch.full((count,), y, device=self.device), **given}
        made = Values({**self.networks, **fields}, draws).of(planned.arguments)
        return {alias: made[name] for alias, name in where.items()}

    def sources(self, pictures: Iterable[Picture] | Tensor, fit_by: Fit = "keep") -> Sources:
        """Pictures to translate into several styles; as a tensor (N, 3, H, W) of the networks' size uint8, or -1 to 1.

        Raises UsageError and DataError.
        """
        if fit_by not in get_args(Fit):
            raise UsageError(f"fit_by cannot be {fit_by} ({did_you_mean(str(fit_by), get_args(Fit))})")
        if isinstance(pictures, Tensor):
            return Sources(self, self._tensor(pictures), [(0, 0, *self.image_size[::-1])] * len(pictures))
        fitted = [fit(opened(picture), self.image_size, fit_by) for picture in pictures]
        x_real = torch.stack([x for x, _ in fitted]) if fitted else torch.empty(0, 3, *self.image_size)
        return Sources(self, self._tensor(x_real), [box for _, box in fitted])

    def try_out(self) -> None:
        """Translate a blank picture in each way that there is; raises UsageError if that makes no picture."""
        blank = self.sources(torch.zeros(1, 3, *self.image_size))
        for guide in self.guides:
            given: dict[str, Any] = {"references": blank.pictures()} if guide == "reference" else {"seeds": [0]}
            blank.into(self.styles(self.targets[0], **given)[0])

    def without_face(self, pictures: Tensor) -> list[int]:
        """Which of the pictures (N, 3, H, W) lack the face that the model's masks look for, if they look for one."""
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
                f"the model {self.model.name} lacks {error.chain[-1]}, which {' -> '.join(error.chain)} needs"
            ) from None


class Sources:
    """Pictures to translate: what does not depend on the style is computed once, whatever the number of styles."""

    def __init__(self, translator: Translator, x_real: Tensor, boxes: Sequence[PixelBox]) -> None:
        self.translator = translator
        self.x_real = x_real
        """(N, 3, H, W) in [-1, 1]."""
        self.boxes = boxes
        """Where in (H, W) each picture is: left, top, right, bottom, in pixels."""
        self._values: dict[frozenset[str], tuple[PlannedTensors, Values, list[Node]]] = {}

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Sources({len(self)} pictures for {self.translator.model.name!r})"

    def pictures(self) -> list[Image.Image]:
        """As the networks see them, without mirrored edges."""
        return [to_picture(x, box) for x, box in zip(self.x_real, self.boxes, strict=True)]

    def translated(self, style: Style) -> list[Image.Image]:
        """Their translations."""
        made = self.into(style) if self.boxes else self.x_real
        return [to_picture(x, box) for x, box in zip(made, self.boxes, strict=True)]

    @torch.no_grad()
    def into(self, style: Style) -> Tensor:
        """The translations, (N, 3, H, W), about from -1 to 1."""
        model, count = self.translator, len(self.x_real)
        planned, values, changed = self._planned(frozenset(style.codes))
        for node in changed:
            values.pop(node, None)
        values.draws = model._draws(style.seed, count, shared=True)
        values.given = {
            **model.networks,
            "x_real": self.x_real,
            "y_trg": torch.full((count,), style.domain, device=model.device),
            **{name: code.expand(count, *code.shape[1:]) for name, code in style.codes.items()},
        }
        (x_fake,) = values.of(planned.arguments).values()
        if not isinstance(x_fake, Tensor) or x_fake.shape != self.x_real.shape:
            raise UsageError(
                f"the tensor {model.model.config.show} is no translation, which would be pictures of the size of x_real"
            )
        return x_fake

    @torch.no_grad()
    def tensor(self, name: str) -> Any:
        """A tensor of the pictures that needs no style: "masks", say."""
        model = self.translator
        values = Values({**model.networks, "x_real": self.x_real}, model._draws(0, len(self.x_real)))
        return values.of(model._planned([name]).arguments)[name]

    def _planned(self, names: frozenset[str]) -> tuple[PlannedTensors, Values, list[Node]]:
        """How the translation is computed with such codes, what is known of it, and what each style changes."""
        if names not in self._values:
            model = self.translator
            planned = model._planned([model.model.config.show], names)
            self._values[names] = planned, Values({}, model._draws(0, 1)), of_style(planned)
        return self._values[names]


def of_style(planned: PlannedTensors) -> list[Node]:
    """What of a translation each style changes, in order."""
    found: dict[Node, None] = {}
    for node in planned.nodes:
        given = node.kind == "normal" or (node.kind == "field" and node.name != "x_real")
        if given or any(argument in found for _, argument in node.arguments):
            found[node] = None
    return list(found)


def _whole(seed: SupportsIndex) -> int:
    """Python's own number, of which styles are drawn: numpy's, say, would make others."""
    try:
        return index(seed)
    except TypeError:
        raise UsageError(f"a seed is a whole number, not {seed!r}") from None


def opened(picture: Picture) -> Image.Image:
    """An RGB picture; raises DataError for a path to what is none, UsageError for what is neither path nor picture."""
    if isinstance(picture, str | Path):
        return read_picture(Path(picture))
    if not isinstance(picture, Image.Image):
        raise UsageError(
            f"a picture is a path or a PIL image, not {type(picture).__name__}; PIL.Image.fromarray makes "
            f"one of an array"
        )
    if 0 in picture.size:
        raise DataError("the picture cannot be used: it has no pixels")
    try:
        return as_rgb(ImageOps.exif_transpose(picture))
    except Exception as error:  # a file that Pillow has not yet decoded may be anything
        raise DataError(f"the picture cannot be used: {why_broken(error)}") from error
