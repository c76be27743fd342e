"""The translator: applies a trained model to pictures and styles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from i2i.building import parts_of, refuse_memory, without_memory
from i2i.opening import Picture, opened, refuse_other_extent
from i2i.served_uses import ServedUse, served_uses
from i2i.style import Style
from i2i_core.data.fitting import Layout, PixelBox, extent, fit, moved, unlike_training
from i2i_core.data.sets import facts_of
from i2i_core.disk.matching import match
from i2i_core.errors import I2IError, UsageError, counted, did_you_mean
from i2i_core.interfaces import Size, Value
from i2i_core.models.batch_norms import separate_pictures
from i2i_core.models.folder import Model
from i2i_core.plan.draws import Draws
from i2i_core.plan.fields import DOMAINS
from i2i_core.plan.planner import Planner, Unresolved
from i2i_core.plan.tensors import Node, definitions, method_tensors
from i2i_core.plan.uses import LATENT, PLAIN, REFERENCE
from i2i_core.plan.values import Values
from i2i_core.recipe.sections import Fit
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.specs import build

T = TypeVar("T")

MEAN_OF = 1024
"""The number of latents whose styles are averaged to the mean style of a domain."""
Inputs = Mapping[str, Any]
"""Further inputs by name: a value or path for all pictures, or a list with one for each picture."""


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
        parts = parts_of(model, plugins)
        self.layouts = parts.layouts
        """The formats and sizes of the batch fields."""
        facts = facts_of(config.image_size, self.domains, self.layouts)
        refuse_memory(without_memory(parts.tensors, facts, model), model)
        for name, network in without_memory(parts.networks, facts, model).items():
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
        for name, spec in parts.networks.items():
            network = build(spec, facts).to(device, dtype)  # before the weights are loaded, which may be more precise
            network.load_state_dict(dict(model.networks[name]))
            self.networks[name] = self._placed(network)
        steps = config.training.get("steps")
        self._constants: dict[str, Any] = {**self.networks, "step": steps if isinstance(steps, int) else 0}
        """Inputs of tensors besides the fields of a batch; for them, training has just ended."""
        calls = {name: self._placed(build(spec, facts)) for name, spec in parts.tensors.items()}
        made = definitions(method_tensors(parts.method.target), parts.tensors, calls)
        self._planner = Planner(made, self.networks, (*DOMAINS, *self.layouts))
        self.uses = served_uses(model, self._planner, self.layouts)
        """The uses of the model by name."""
        self.face_finders = [call.faces for call in calls.values() if hasattr(call, "faces")]
        self.mean_style = cache(self._mean_style)
        """`mean_style(y)`: the mean of a domain's styles from latents, which is the style for `psi` 0."""

    def _placed(self, made: T) -> T:
        if isinstance(made, nn.Module):
            separate_pictures(made.to(self.device, self.dtype).eval().requires_grad_(False))
        return made

    def __repr__(self) -> str:
        (height, width), config = self.main_use.source.size, self.model.config
        return (
            f"Translator({self.model.name!r}: {', '.join(config.sources)} -> {', '.join(self.targets)}; "
            f"{width} x {height} pixels; uses: {', '.join(self.uses)}; on {self.device})"
        )

    @property
    def image_size(self) -> Size:
        """The height and width of pictures to translate, as the networks get them."""
        return self.main_use.source.size

    @property
    def main_use(self) -> ServedUse:
        """The first use."""
        return next(iter(self.uses.values()))

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the target domains of the first use."""
        return self.main_use.targets

    def use_of(self, *styles: str, domain: str | None = None) -> ServedUse | None:
        """Return the first use with one of these sources of styles: "latent", "reference" or "plain".

        domain: prefer uses that translate into this domain.
        """
        found = [use for use in self.uses.values() if use.style in styles]
        return next((use for use in found if domain in use.targets), found[0] if found else None)

    def use(self, name: str) -> ServedUse:
        """Return a use; raises UsageError for an unknown name."""
        if name not in self.uses:
            raise UsageError(f"the model has no use {name} ({did_you_mean(name, self.uses)})")
        return self.uses[name]

    def __call__(
        self,
        picture: Picture | Iterable[Picture],
        *,
        domain: str | None = None,
        reference: Picture | None = None,
        seed: int | None = None,
        psi: float = 1.0,
        fit_by: Fit | None = None,
        use: str | None = None,
        inputs: Inputs | None = None,
    ) -> Any:
        """Translate a picture into `domain`; for several pictures, return a list of translations.

        picture: a path, a value such as a PIL image, or an iterable of these.
        reference: a picture of the domain from which the style is taken.
        seed: the seed of the latent from which the style is made, if there is no reference; by default 0.
        psi: truncation, from 0 (the mean style of the domain) to 1 (the style as the model makes it).
        fit_by: the way in which pictures come to the size of the networks: "stretch", "crop", "keep" or "patch"; by
            default as in training.
        use: the use of the model; by default the first that makes styles of what is given, and for `domain`.
        inputs: further inputs of the use by name, each for all pictures, or a list with one for each picture.

        A translation is a value of the target's format: a PIL image, for rasters a NumPy array (H, W, C), for numbers a
        mapping. Raises UsageError and DataError.
        """
        if seed is not None and reference is not None:
            raise UsageError("a style comes from either a seed or a reference; leave one of them out")
        if isinstance(picture, Image.Image | np.ndarray | Mapping | str | bytes | Path) or not isinstance(
            picture, Iterable
        ):
            pictures, single = [picture], True
        else:
            pictures, single = list(picture), False
        references = [] if reference is None else [reference]
        seeds = [seed or 0] if reference is None else []
        (style,) = self.styles(domain, seeds=seeds, references=references, psi=psi, use=use)
        made = self.sources(pictures, fit_by, use=style.use, inputs=inputs).translated(style)
        return made[0] if single else made

    def domain(self, name: str | None, use: ServedUse | None = None) -> int:
        """Return the class index of a target domain of a use; raises UsageError for other names."""
        targets = (use or self.main_use).targets
        if name is None and len(targets) > 1:
            raise UsageError(f"name a domain: {', '.join(targets)}")
        name = targets[0] if name is None else name
        if name not in targets:
            hint = did_you_mean(str(name), targets)
            raise UsageError(f"the model cannot translate into a domain {name} ({hint})")
        return self.domains.index(name)

    @torch.no_grad()
    def styles(
        self,
        domain: str | None,
        *,
        seeds: Sequence[int] = (),
        references: Sequence[Picture | Sources] = (),
        psi: float = 1.0,
        use: str | None = None,
    ) -> list[Style]:
        """Return styles of a domain: one for each seed, then one for each reference.

        references: pictures, or what `reference_sources` made of them.
        use: the use of the model; by default the first that makes styles of seeds or references, and for `domain`.
        """
        if not math.isfinite(psi):
            raise UsageError(f"psi is {psi}; it should be a number from 0 (the mean style) to 1 (the style as trained)")
        found = []
        if seeds:
            served = self._chosen(use, domain, LATENT, PLAIN)
            if served is None:
                raise UsageError("the model cannot make styles from latents; name a reference")
            y = self.domain(domain, served)
            found += [
                Style(served.name, y, self._codes(served, y, {}, self._draws(seed, 1)), seed)
                for seed in map(_whole, seeds)
            ]
        if references:
            served = self._chosen(use, domain, REFERENCE)
            if served is None:
                raise UsageError("the model cannot take styles from references; leave the reference out")
            y = self.domain(domain, served)
            for picture in references:  # one at a time, to limit memory
                source = picture if isinstance(picture, Sources) else self.reference_sources(picture, served.name)
                given = dict.fromkeys(served.references, source.x)
                codes = self._codes(served, y, given, self._draws(0, 1))
                found.append(Style(served.name, y, codes or given))
        return found if psi == 1 else [self._truncated(style, psi) for style in found]

    def _truncated(self, style: Style, psi: float) -> Style:
        use = self.mean_use(style.domain)
        if use is None or use.codes.keys() != style.codes.keys():
            raise UsageError("psi needs the mean of styles from latents, and the model has none; leave psi out")
        return replace(self.mean_style(style.domain).towards(style, psi), use=style.use, seed=style.seed)

    def _chosen(self, use: str | None, domain: str | None, *styles: str) -> ServedUse | None:
        if use is None:
            return self.use_of(*styles, domain=domain)
        return served if (served := self.use(use)).style in styles else None

    def mean_use(self, y: int) -> ServedUse | None:
        """Return the use whose styles from latents have the mean style of a domain, or None."""
        return next((use for use in self.uses.values() if use.has_mean and self.domains[y] in use.targets), None)

    def _mean_style(self, y: int) -> Style:
        use, codes = self.mean_use(y), self.sample_codes(y, MEAN_OF)
        assert use is not None
        return Style(use.name, y, {name: code.mean(0, keepdim=True) for name, code in codes.items()})

    @torch.no_grad()
    def sample_codes(self, y: int, count: int) -> dict[str, Tensor]:
        """Return the codes of `count` styles of a domain from latents, each (count, ...)."""
        use = self.mean_use(y)
        assert use is not None
        return self._codes(use, y, {}, self._draws(0, count), count)

    def _codes(
        self, use: ServedUse, y: int, given: Mapping[str, Tensor], draws: Draws, count: int = 1
    ) -> dict[str, Tensor]:
        fields = {"y_trg": torch.full((count,), y, device=self.device), **given}
        return Values({**self._constants, **fields}, draws).of(use.codes.items())

    def sources(
        self,
        pictures: Iterable[Picture] | Tensor,
        fit_by: Fit | None = None,
        *,
        use: str | None = None,
        inputs: Inputs | None = None,
    ) -> Sources:
        """Prepare pictures to translate them into several styles.

        pictures: paths, values such as PIL images, or a tensor (N, C, H, W) of the networks' size, encoded as the
        networks get it, or uint8 as its format fits it. use: the use of the model that they are for; by default the
        first. inputs: its further inputs. Raises UsageError and DataError.
        """
        if fit_by is not None and fit_by not in get_args(Fit):
            raise UsageError(f"fit_by cannot be {fit_by} ({did_you_mean(str(fit_by), get_args(Fit))})")
        served = self.main_use if use is None else self.use(use)
        if not isinstance(inputs or {}, Mapping):
            raise UsageError(f"inputs must be a mapping from names to values, not {type(inputs).__name__}")
        layout, given = _fitted_by(served.source, fit_by), {**(inputs or {})}
        for name in [*served.inputs, *given]:
            if name not in given or name not in served.inputs:
                hint = f"it needs {', '.join(served.inputs)}" if served.inputs else "it needs none"
                raise UsageError(
                    f"the use {served.name} has no input {name} ({hint})"
                    if name in given
                    else f"the use {served.name} needs the input {name}; give it in inputs"
                )
        if isinstance(pictures, Tensor):
            whole = (0, 0, *layout.size[::-1])
            fields = {
                served.inputs[name]: self._taken(of, self.layouts[served.inputs[name]], len(pictures))
                for name, of in given.items()
            }
            return Sources(self, served, self._taken(pictures, layout, len(pictures)), [whole] * len(pictures), fields)
        values = [opened(picture, layout.format) for picture in pictures]
        fitted = [fit(value, layout) for value in values]
        x = self.encoded(_stacked([x for x, _ in fitted], layout), layout)
        fields = {served.inputs[name]: self._input(name, of, served, values, fit_by) for name, of in given.items()}
        unlike = [unlike_training(value, layout) for value in values]
        return Sources(self, served, x, [box for _, box in fitted], fields, layout, unlike)

    def _input(self, name: str, given: Any, use: ServedUse, pictures: Sequence[Value], fit_by: Fit | None) -> Tensor:
        """Return a further input of all pictures, encoded; it is fitted as the pictures are."""
        layout = _fitted_by(self.layouts[use.inputs[name]], fit_by)
        each = list(given) if isinstance(given, list | tuple) else [given] * len(pictures)
        if len(each) != len(pictures):
            raise UsageError(
                f"the input {name} has {counted(len(each), 'value')} for {counted(len(pictures), 'picture')}"
            )
        values = [opened(value, layout.format, f"the input {name}") for value in each]
        for one, value, picture in zip(each, values, pictures, strict=True):
            refuse_other_extent(
                f"{name} {one}" if isinstance(one, str | Path) else name, extent(value), extent(picture)
            )
        return self.encoded(_stacked([fit(value, layout)[0] for value in values], layout), layout)

    def reference_sources(self, picture: Picture, use: str) -> Sources:
        """Return a reference of a use, fitted: to take its style, or as a source, for example to look for a face."""
        served = self.use(use)
        value = opened(picture, served.reference.format)
        fitted, box = fit(value, served.reference)
        unlike = [unlike_training(value, served.reference)]
        return Sources(self, served, self.encoded(fitted[None], served.reference), [box], {}, None, unlike)

    def try_out(self) -> None:
        """Serve each use with made-up inputs; raises UsageError with the reason if one cannot be served."""
        for name, use in self.uses.items():
            try:
                examples = {n: self.layouts[field].examples(1, self.dtype) for n, field in use.inputs.items()}
                source = self.sources(use.source.examples(1, self.dtype), use=name, inputs=examples)
                y = self.domains.index(use.targets[0])
                given = {field: self.layouts[field].examples(1, self.dtype).to(self.device) for field in use.references}
                with torch.no_grad():
                    codes = self._codes(use, y, given, self._draws(0, 1)) or given
                made = source.into(Style(name, y, codes))
            except I2IError:
                raise
            except Exception as error:
                raise UsageError(
                    f"the use {name} cannot be served: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
                ) from error
            use.result.format.show(use.result.format.decode(made[0]))

    def without_face(self, sources: Sources) -> list[int]:
        """Return the indices of pictures without a face, if the model's masks are made from faces."""
        if not self.face_finders or sources.use.use.source != "x_real":
            return []
        found = torch.stack([faces(sources.x) for faces in self.face_finders]).all(0)
        return [n for n, face in enumerate(found.tolist()) if not face]

    def encoded(self, fitted: Tensor, layout: Layout) -> Tensor:
        """Return fitted values on the device, as the networks get them."""
        return layout.format.encode(fitted.to(self.device), self.dtype)

    def _taken(self, given: Any, layout: Layout, count: int) -> Tensor:
        """Return a caller's tensor of `count` values as the networks get it: floats and int64 are encoded already.

        Raises UsageError for other values and shapes.
        """
        if not isinstance(given, Tensor):
            raise UsageError(f"to pictures in a tensor belong further inputs in tensors, not {type(given).__name__}")
        x: Tensor = given
        if x.is_floating_point():
            x = x.to(self.device, self.dtype)
        else:
            x = x.to(self.device) if x.dtype is torch.int64 else self.encoded(x, layout)
        if tuple(x.shape) != (wanted := (count, *layout.shape)):
            raise UsageError(f"the tensor has the shape {tuple(x.shape)}, and the model needs {wanted}")
        return x

    def _draws(self, seed: int, count: int, shared: bool = False) -> Draws:
        return Draws(seed, 0, 0, count, count, self.device, self.dtype, shared)


class Sources:
    """Pictures to translate into several styles; tensors that do not depend on the style are computed once."""

    def __init__(
        self,
        translator: Translator,
        use: ServedUse,
        x: Tensor,
        boxes: Sequence[PixelBox],
        inputs: Mapping[str, Tensor],
        layout: Layout | None = None,
        unlike: Sequence[str] = (),
    ) -> None:
        """inputs: the further inputs by batch field, encoded. layout: by default that of the use."""
        self.translator, self.use = translator, use
        self.x = x
        """The pictures as the networks get them, (N, C, H, W)."""
        self.boxes = boxes
        """The box of each picture in (H, W), in pixels: left, top, right, bottom."""
        self.layout = layout or use.source
        """The layout to which they were fitted."""
        self.unlike = unlike
        """The difference of each picture from all those of training, as a phrase, or ""."""
        self._given = {**inputs, use.use.source: x}
        self._values: dict[str, tuple[Values, list[Node]]] = {}

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Sources({counted(len(self), 'picture')} for {self.translator.model.name!r})"

    def pictures(self) -> list[Image.Image]:
        """Return the pictures at the size of the networks, without padding, as people see them."""
        form = self.use.source.format
        return [form.show(form.decode(_cropped(x, box))) for x, box in zip(self.x, self.boxes, strict=True)]

    def translated(self, style: Style) -> list[Any]:
        """Return the translations of the pictures into a style, as values of the result's format."""
        return self.decoded(self.into(style), self.translator.use(style.use)) if self.boxes else []

    def shown(self, style: Style) -> list[Image.Image]:
        """Return the translations of the pictures into a style, as people see them."""
        form = self.translator.use(style.use).result.format
        return [form.show(value) for value in self.translated(style)]

    def decoded(self, made: Tensor, use: ServedUse) -> list[Any]:
        """Return results of a use (N, ...) as values, without padding."""
        return [
            use.result.format.decode(_cropped(x, moved(box, use.source.size, use.result.size)))
            for x, box in zip(made, self.boxes, strict=True)
        ]

    @torch.no_grad()
    def into(self, style: Style) -> Tensor:
        """Return the translations as a tensor (N, ...), encoded as the networks make it."""
        model, count, use = self.translator, len(self.x), self.translator.use(style.use)
        if lacking := use.given - self._given.keys():
            raise UsageError(f"these pictures lack {', '.join(sorted(lacking))}, which the use {use.name} needs")
        if use.name not in self._values:
            self._values[use.name] = Values({}, model._draws(0, 1)), use.of_style
        values, changed = self._values[use.name]
        for node in changed:
            values.pop(node, None)
        codes = {name: code.expand(count, *code.shape[1:]) for name, code in style.codes.items()}
        if "y_org" in use.planned.fields and len(model.model.config.sources) > 1:
            raise UsageError(f"the use {use.name} needs y_org, the domain of the picture, which may be any of several")
        values.draws = model._draws(style.seed, count, shared=True)
        values.given = {
            **model._constants,
            **self._given,
            "y_org": torch.full((count,), model.domains.index(model.model.config.sources[0]), device=model.device),
            "y_trg": torch.full((count,), style.domain, device=model.device),
            **codes,
        }
        values.update({node: codes[alias] for alias, node in use.codes.items()})
        (made,) = values.of(use.planned.arguments).values()
        if not isinstance(made, Tensor) or made.shape != (count, *use.result.shape):
            shape = " x ".join(map(str, use.result.shape))
            raise UsageError(
                f"the tensor {use.use.show} is not a result of the use {use.name}: {use.use.result} has the shape "
                f"{shape}, and it {list(made.shape[1:]) if isinstance(made, Tensor) else type(made).__name__}"
            )
        return made

    @torch.no_grad()
    def tensor(self, name: str) -> Any:
        """Return a named tensor that does not depend on the style, such as "masks". Raises UsageError if it does."""
        model = self.translator
        try:
            planned = model._planner.tensors([name])
        except Unresolved as error:
            raise UsageError(f"the model does not make the tensor {error.chain[-1]}") from None
        values = Values({**model._constants, **self._given}, model._draws(0, len(self.x)))
        return values.of(planned.arguments)[name]


def _whole(seed: SupportsIndex) -> int:
    """Convert a seed to an int: other types, such as numpy integers, would give other styles."""
    try:
        return index(seed)
    except TypeError:
        raise UsageError(f"a seed must be an integer, not {seed!r}") from None


def _fitted_by(layout: Layout, how: Fit | None) -> Layout:
    """Return the layout for another fit, which training tells nothing about."""
    return layout if how in (None, layout.fit) else Layout(layout.format, layout.size, how, half=layout.half)


def _stacked(fitted: Sequence[Tensor], layout: Layout) -> Tensor:
    return torch.stack(list(fitted)) if fitted else torch.empty(0, *layout.shape)


def _cropped(x: Tensor, box: PixelBox) -> Tensor:
    left, top, right, bottom = box
    return x[:, top:bottom, left:right] if x.dim() == 3 else x
