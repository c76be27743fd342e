"""The data sets of a run: records for training, held-out records, and the facts that determine networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
import torch
from pydantic_core import to_jsonable_python
from torch import Tensor

from i2i_core.data.datasets.splits import naming_advice
from i2i_core.data.fitting import Layout, extent, fit, patch_at, seen
from i2i_core.data.formats.picture import Picture
from i2i_core.data.walking import by_suffix
from i2i_core.errors import DataError, PluginError, Problem, RecipeError, did_you_mean
from i2i_core.interfaces import WHOLE, Box, Dataset, Format, RecordDataset, Size, Value
from i2i_core.plan.checked import Checked
from i2i_core.plan.fields import DOMAINS, PAIR, PICTURE, REAL, batch_fields, role_of
from i2i_core.recipe.names import file_name
from i2i_core.recipe.sections import Fit, Recipe
from i2i_core.registry.specs import Spec, build


class SampledRecords:
    """The records of a data set, with the format and the size of each field; see `i2i_core.interfaces.Records`."""

    def __init__(self, dataset: Dataset | RecordDataset, image_size: Size, fit: Fit = "stretch") -> None:
        self.dataset, self.image_size, self.fit = dataset, image_size, fit
        self.domains, self.paired = tuple(dataset.domains), dataset.paired
        self.fields: Mapping[str, Format] = {}
        self._formats: Mapping[str, Format] = {}
        self._sizes: Mapping[str, Size] = {}
        if isinstance(dataset, RecordDataset):
            self.fields, self._formats, self._sizes = dataset.fields, dataset.formats, dataset.sizes

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields of a record, its picture first."""
        return (PICTURE, *self.fields)

    def count(self, domain: int) -> int:
        return self.dataset.count(domain)

    def format(self, domain: int, field: str = PICTURE) -> Format:
        return self.fields[field] if field in self.fields else self._formats.get(self.domains[domain], Picture())

    def layout(self, domain: int, field: str = PICTURE) -> Layout:
        """Return the layout of a field of a domain's records; fields have the size of the domain's pictures."""
        return Layout(self.format(domain, field), self._sizes.get(self.domains[domain], self.image_size), self.fit)

    def values(self, domain: int, index: int, wanted: Collection[str], rng: np.random.Generator) -> Mapping[str, Value]:
        """Return fields of a record by name, as their formats read them."""
        if isinstance(self.dataset, RecordDataset):
            return self.dataset.record(domain, index, wanted, rng)
        return {PICTURE: self.dataset.picture(domain, index)}

    def batch(self, domain: int, indices: Sequence[int], fields: Sequence[str] = (PICTURE,)) -> dict[str, Tensor]:
        fitted: dict[str, list[Tensor]] = {name: [] for name in fields}
        for index in indices:
            values = self.values(domain, index, fields, np.random.default_rng((index, domain)))
            box = self._centre(domain, values.values())
            for name, found in fitted.items():
                found.append(fit(values[name], self.layout(domain, name), box)[0])
        return {
            name: self.format(domain, name).encode(torch.stack(found), torch.float32) for name, found in fitted.items()
        }

    def _centre(self, domain: int, values: Collection[Value]) -> Box:
        """Return the box of a record's part in the centre if its fit is patches, else of the whole record."""
        size = next(filter(None, map(extent, values)), None)
        if self.fit != "patch" or size is None:
            return WHOLE
        return patch_at((0.5, 0.5), size, self.layout(domain).size, self.step(domain))

    def step(self, domain: int) -> int:
        """Return the pixels by which patches of a domain move, so that those of smaller pairs move by whole pixels."""
        least = min(self.layout(y).size[0] for y in range(len(self.domains)))
        return max(1, self.layout(domain).size[0] // least)


Directions = Mapping[int, tuple[int, ...]]
"""The target domains of each source domain, by class index."""


def directions(targets: str | Mapping[str, Sequence[str]], domains: Sequence[str]) -> Directions:
    """Return the target domains of each source domain, by class index, as `data.targets` gives them."""
    if not isinstance(targets, str):
        return {domains.index(source): tuple(map(domains.index, names)) for source, names in targets.items()}
    everyone = range(len(domains))
    return {y: tuple((y + k) % len(domains) for k in everyone if k or targets == "all") for y in everyone}


def layouts(records: SampledRecords, ways: Directions) -> dict[str, Layout]:
    """Return the layout of each batch field but the domains. Domains that share a role have the same layout."""
    source, target = next(iter(ways)), next(iter(ways.values()))[0]
    return {
        name: records.layout(source if role_of(name)[1] == REAL else target, role_of(name)[0])
        for name in batch_fields(records.field_names, records.paired)
        if name not in DOMAINS
    }


@dataclass(frozen=True)
class DataSets:
    """The data sets of a run."""

    train: SampledRecords
    validation: SampledRecords
    """The held-out records, or those of training if there are none."""
    layouts: Mapping[str, Layout]
    """The layout of each batch field but the domains."""
    facts: dict[str, object]
    """Parameters that networks get from the data."""
    format_names: Mapping[str, str]
    """Names of the registered formats by import path."""

    def described(self) -> dict[str, Any]:
        """Return what a model needs to know of the data, as JSON: `domains`, and the `layouts` of batch fields."""
        layouts = {
            name: {
                "format": written_format(layout.format, self.format_names),
                "size": list(layout.size),
                "fit": layout.fit,
                **({"seen": layout.seen._asdict()} if layout.seen else {}),
                **({"half": layout.half} if layout.half else {}),
            }
            for name, layout in self.layouts.items()
        }
        return {"domains": list(self.train.domains), "layouts": layouts}


def build_data(checked: Checked) -> DataSets:
    """Build the data sets of a recipe. Raises RecipeError and DataError for unusable keys and pictures."""
    assert checked.data is not None
    recipe = checked.recipe
    train = validation = _records(checked.data, recipe)
    if checked.validation is not None:
        validation = _records(checked.validation, recipe)
        if validation.domains != train.domains:
            raise DataError(
                f"{checked.validation.mark}: the held-out pictures have the domains "
                f"{', '.join(validation.domains)}, the training pictures {', '.join(train.domains)}; name the same "
                f"domains, for example {naming_advice(train.domains, validation.domains)}"
            )
    _targets(recipe, train.domains)
    ways = directions(recipe.data.targets, train.domains)
    _of_one_kind(recipe, train, ways)
    found = layouts(train, ways)
    if checked.validation is not None:
        _like_training(checked.validation, found, layouts(validation, ways))
    for records in {id(records): records for records in (train, validation)}.values():
        _patches(recipe, records, ways)
    facts = facts_of(recipe.data.image_size, train.domains, found)
    for layout in found.values():
        written_format(layout.format, checked.format_names)  # whether that is possible is known before training
    found = _with_pictures(found, train, ways)
    return DataSets(train, validation, found, facts, checked.format_names)


def facts_of(image_size: Size, domains: Sequence[str], layouts: Mapping[str, Layout]) -> dict[str, object]:
    """Return the parameters that networks get from the data."""
    facts: dict[str, object] = {"image_size": image_size, "num_domains": len(domains), "domains": tuple(domains)}
    for side, name in (("source", "x_real"), ("target", "x_ref")):
        facts |= {f"{side}_size": layouts[name].size, f"{side}_channels": layouts[name].shape[0]}
    return facts


def written_format(form: Format, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a format as keys of a recipe. names: the registered formats by import path. Raises PluginError."""
    kind = type(form)
    if (path := f"{kind.__module__}:{kind.__qualname__}") not in names:
        raise PluginError(
            f"the format {path} is not registered; its plugin should call registry.format(NAME, {path!r})"
        )
    keys = {key.name: getattr(form, key.name) for key in fields(cast(Any, form))}
    return {"use": names[path], **to_jsonable_python(keys)}


def _of_one_kind(recipe: Recipe, records: SampledRecords, ways: Directions) -> None:
    """Raise RecipeError if two source domains, or two target domains, cannot share a batch."""
    for what, sides in (("sources", [*ways]), ("targets", sorted({y for ys in ways.values() for y in ys}))):
        first, *others = ((records.domains[y], records.layout(y)) for y in sides)
        for name, layout in others:
            if (layout.format, layout.size) != (first[1].format, first[1].size):
                raise RecipeError(
                    [
                        Problem(
                            f"the domains {first[0]} and {name} are both {what}, but their pictures differ: "
                            f"{_kind(first[1])}, and {_kind(layout)}",
                            recipe.mark("data", "targets"),
                            f"name the direction, such as targets: {{{first[0]}: {name}}}",
                        )
                    ]
                )


def _like_training(spec: Spec, ours: Mapping[str, Layout], theirs: Mapping[str, Layout]) -> None:
    """Raise DataError if held-out records lack fields, or have them in another format or size; pairs may be missing."""
    for name, layout in ours.items():
        if name not in theirs and role_of(name)[1] == PAIR:
            continue
        held = theirs.get(name)
        if held is None or (held.format, held.size) != (layout.format, layout.size):
            found = "not at all" if held is None else f"as {_kind(held)}"
            raise DataError(
                f"{spec.mark}: the held-out records have the field {role_of(name)[0]} {found}, and those of training "
                f"as {_kind(layout)}; make them alike"
            )


def _with_pictures(found: Mapping[str, Layout], records: SampledRecords, ways: Directions) -> dict[str, Layout]:
    """Add to the layouts of pictures what is known of those of training, by optional members of the data set."""
    extents: Any = getattr(records.dataset, "extents", lambda _: {})
    halves = getattr(records.dataset, "halves", {})
    made = {**found}
    targets = {y for chosen in ways.values() for y in chosen}
    for is_source, ys in ((True, {*ways}), (False, targets)):
        sizes = seen([size for y in sorted(ys) for size in extents(y).values() if size])
        sides = {halves.get(records.domains[y]) for y in ys}
        half = sides.pop() if len(sides) == 1 else None
        for name, layout in found.items():
            field, role = role_of(name)
            if field == PICTURE and (role == REAL) == is_source:
                made[name] = replace(layout, seen=sizes, half=half)
    return made


def _patches(recipe: Recipe, records: SampledRecords, ways: Directions) -> None:
    """Raise DataError if the pictures of a pair do not have the ratio of their sizes, which patches of both need."""
    extents = getattr(records.dataset, "extents", None)
    if recipe.data.fit != "patch" or not records.paired or extents is None:
        return
    for one, other in sorted({tuple(sorted((y, target))) for y, targets in ways.items() for target in targets}):
        sizes = records.layout(one).size, records.layout(other).size
        for (path, a), (its, b) in zip(extents(one).items(), extents(other).items(), strict=True):
            if a and b and any(p * s != q * r for p, q, r, s in zip(a, b, *sizes, strict=True)):
                (h, w), (height, width) = sizes
                raise DataError(
                    f"{recipe.mark('data', 'fit')}: {path} has {a[1]} x {a[0]} pixels and {its} "
                    f"{b[1]} x {b[0]}, which is not the ratio of the patches, {w} x {h} and {width} x {height}; "
                    f"correct the files or the sizes"
                )


def _kind(layout: Layout) -> str:
    height, width = layout.size
    return f"{layout.format} of {height} x {width} pixels"


def _targets(recipe: Recipe, domains: Sequence[str]) -> None:
    """Raise RecipeError for unknown domains in `data.targets`, and for a domain whose only target is itself."""
    if isinstance(recipe.data.targets, str):
        if len(domains) < 2:
            raise DataError(
                f"{recipe.mark('data')}: {recipe.data.use} has only the domain {domains[0]}; add a second one, or "
                f"write targets: {{{domains[0]}: {domains[0]}}} to translate it into itself, as inpainting does"
            )
        return
    named: dict[str, tuple[str | int, ...]] = {source: (source,) for source in recipe.data.targets}
    named |= {
        name: (source, n)
        for source, names in recipe.data.targets.items()
        for n, name in enumerate(names)
        if name not in named
    }
    problems = [
        Problem(
            f"data.targets names the domain {name}, which the data does not have",
            recipe.mark("data", "targets", *place),
            did_you_mean(name, domains),
        )
        for name, place in named.items()
        if name not in domains
    ]
    problems += [
        Problem(
            f"domain {source} would be translated only into itself",
            recipe.mark("data", "targets", source),
            "name another domain",
        )
        for source, names in recipe.data.targets.items()
        if names == [source] and source in domains and len(domains) > 1
    ]
    if problems:
        raise RecipeError(problems)


def no_pictures(dataset: Any, domain: str) -> str:
    """Return the phrase "no pictures", with the files of the domain that are not read, if the data set knows them."""
    unread = by_suffix(getattr(dataset, "unread", {}).get(domain, ()))
    return f"no pictures that can be read: {unread}" if unread else "no pictures"


def _records(spec: Spec, recipe: Recipe) -> SampledRecords:
    dataset: Any = build(spec, {"image_size": recipe.data.image_size})
    for y, domain in enumerate(dataset.domains):
        try:
            file_name(domain)
        except ValueError as error:
            raise DataError(f"{spec.mark}: the domain {error}; rename it") from None
        if dataset.count(y) == 0:
            raise DataError(f"{spec.mark}: domain {domain} has {no_pictures(dataset, domain)}; fill it or remove it")
    return SampledRecords(dataset, recipe.data.image_size, recipe.data.fit)
