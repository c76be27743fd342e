"""Transforms of torchvision as further augmentation: seeded by the sample, and one draw for all fields of a record."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from i2i_core.data.fitting import Layout
from i2i_core.data.formats.labels import Labels, Mask
from i2i_core.data.formats.raster import Raster
from i2i_core.errors import Problem, RecipeError
from i2i_core.interfaces import Format, Size
from i2i_core.plan.checked import Checked
from i2i_core.plan.fields import PAIR, REAL, REFERENCES, role_of
from i2i_core.registry.specs import Spec, replace_specs

FOR_NUMBERS = {
    "Compose",
    "RandomApply",
    "RandomChoice",
    "RandomOrder",
    "Identity",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "RandomRotation",
    "RandomAffine",
    "RandomPerspective",
    "ElasticTransform",
    "RandomErasing",
    "GaussianBlur",
}
"""Transforms that suit measurements, too. The others change colours, which measurements do not have."""
TRIALS = 8
"""Number of draws with which a transform is tried before training."""


@dataclass(frozen=True)
class Transforms:
    """Transforms of torchvision.transforms.v2, applied in order to fitted values of records that share a crop.

    Pictures are changed bilinearly or as the transform says, label maps and masks by the nearest pixel, and only in
    their shape. Numbers stay as they are.
    """

    made: Sequence[Callable[..., Any]]

    def __call__(self, fitted: Mapping[str, Tensor], forms: Mapping[str, Format], seed: int) -> dict[str, Tensor]:
        """Return the values, (C, H, W) or (K,), after the transforms. Raises ValueError for another size or type.

        seed: all values get the same random numbers, those of several sizes too. torch's generator stays as it is.
        """
        found = dict(fitted)
        sizes: dict[Size, list[str]] = {}
        for name, value in fitted.items():
            if value.dim() == 3:
                sizes.setdefault((value.shape[1], value.shape[2]), []).append(name)
        for names in sizes.values():
            before = values = [_wrapped(fitted[name], forms[name]) for name in names]
            with _seeded(seed):
                for transform in self.made:
                    values = transform(values)
            for name, old, new in zip(names, before, values, strict=True):
                if not isinstance(new, Tensor) or new.dtype != old.dtype:
                    raise ValueError(f"it changes the type of {name}")
                if new.shape != old.shape:
                    shape, other = ("x".join(map(str, of.shape)) for of in (old, new))
                    raise ValueError(f"it makes {name} {other} (channels, height, width), and it has to stay {shape}")
                found[name] = _bare(new, fitted[name], forms[name])
        return found


def transforms_of(checked: Checked, layouts: Mapping[str, Layout], wanted: Collection[str]) -> Transforms | None:
    """Build the transforms of a recipe, and try them on values of the batch fields `wanted`; None if it has none.

    Raises RecipeError with every transform that is impossible there.
    """
    made, problems = [], list[Problem]()
    for spec in checked.transforms:
        try:
            with torch.device("cpu"):
                transform = _built(spec)
                certain = [_built(_certain(spec, choice)) for choice in range(_choices(spec))]
                for roles in ((REAL, PAIR), *((role,) for role in REFERENCES)):  # which share a crop
                    names = [name for name in layouts if name in wanted and role_of(name)[1] in roles]
                    for one in (transform, *certain):
                        _try(spec, one, {name: layouts[name] for name in names})
            made.append(transform)
        except Exception as error:  # a transform may raise anything for values that it does not know
            reason = " ".join((str(error) or type(error).__name__).split())
            if isinstance(error, LookupError):  # of the labels and boxes of a sample, which the transform looks for
                reason = "it needs more than a picture, such as a batch with labels, or boxes"
            problems.append(Problem(f"transform {spec.entry.name}: {reason}", spec.mark))
    if problems:
        raise RecipeError(problems)
    return Transforms(made) if made else None


def _built(spec: Spec) -> Any:
    """Build a transform. Its key `fill` is for pictures: outside of label maps and masks there is no class."""
    params = {name: replace_specs(value, _built) for name, value in spec.params.items()}
    if params.get("fill") is not None:
        from torchvision import tv_tensors

        params["fill"] = {tv_tensors.Mask: 0, "others": params["fill"]}
    return spec.target(**params)


def _try(spec: Spec, transform: Any, layouts: Mapping[str, Layout]) -> None:
    """Raise an error if a transform does not suit the layouts, or changes the size or the type of values."""
    examples = {name: layout.format.example(layout.size, np.random.default_rng(0)) for name, layout in layouts.items()}
    forms = {name: layout.format for name, layout in layouts.items()}
    measured = [name for name, value in examples.items() if value.dim() == 3 and value.is_floating_point()]
    if measured and (wrong := sorted(_names(spec) - FOR_NUMBERS)):
        known = ", ".join(sorted(FOR_NUMBERS))
        raise ValueError(f"{wrong[0]} is for colours, and {measured[0]} has measurements; possible are {known}")
    for seed in range(TRIALS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Transforms([transform])(examples, forms, seed)


def _certain(spec: Spec, choice: int) -> Spec:
    """Return a transform with what is in RandomApply, and the chosen one of RandomChoice, which may be rare else."""
    inner = [_certain(one, choice) for one in spec.params.get("transforms", ())]
    if spec.entry.name == "RandomChoice" and inner:
        return inner[choice % len(inner)]
    always = {"p": 1.0} if spec.entry.name == "RandomApply" else {}
    return replace(spec, params={**spec.params, **({"transforms": inner} if inner else {}), **always})


def _choices(spec: Spec) -> int:
    """Return the greatest number of transforms between which a transform or one in it chooses."""
    inner = spec.params.get("transforms", ())
    return max([len(inner) if spec.entry.name == "RandomChoice" else 1, *map(_choices, inner)])


def _names(spec: Spec) -> set[str]:
    """Return the names of a transform and of those in it."""
    return {spec.entry.name}.union(*(_names(inner) for inner in spec.params.get("transforms", ())))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator of the CPU for this block, which is the one that torchvision draws from."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs, too
    try:
        yield
    finally:
        torch.set_rng_state(before)


def _wrapped(value: Tensor, form: Format) -> Tensor:
    """Return a fitted value in the type by which torchvision knows what it is."""
    from torchvision import tv_tensors

    if _is_mask(value, form):
        mask: Tensor = tv_tensors.Mask(value.int() - _outside(form))  # torchvision fills with 0
        return mask
    if isinstance(form, Raster):  # on the scale of pictures, so that `fill` means the same
        low, high = form.range
        value = (value - low) * (255 / (high - low))
    picture: Tensor = tv_tensors.Image(value)
    return picture


def _bare(changed: Tensor, value: Tensor, form: Format) -> Tensor:
    """Return a wrapped value as its format fits it, of the type of `value`."""
    changed = changed.as_subclass(Tensor)
    if isinstance(form, Raster):
        low, high = form.range
        changed = changed * ((high - low) / 255) + low
    elif _is_mask(value, form):
        changed = changed + _outside(form)
    return changed.to(value.dtype).contiguous()


def _is_mask(value: Tensor, form: Format) -> bool:
    """Return True if the numbers of a value are ids."""
    return isinstance(form, Labels | Mask) or not (value.dtype == torch.uint8 or value.is_floating_point())


def _outside(form: Format) -> int:
    """Return the id of what lies outside of a picture."""
    ignored = form.ignore if isinstance(form, Labels) else None
    return ignored or 0
