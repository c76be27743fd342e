"""The data sets of a run: training pictures, held-out pictures, and the facts that determine networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from i2i_core.errors import DataError, Problem, RecipeError, did_you_mean
from i2i_core.interfaces import Dataset
from i2i_core.plan.checked import Checked
from i2i_core.recipe.names import file_name
from i2i_core.recipe.sections import Recipe
from i2i_core.registry.specs import Spec, build


@dataclass(frozen=True)
class DataSets:
    """The data sets of a run."""

    train: Dataset
    validation: Dataset
    """The held-out pictures, or the training pictures if there are none."""
    facts: dict[str, object]
    """Parameters that networks get from the data: image_size (H, W), num_domains, domains."""


def build_data(checked: Checked) -> DataSets:
    """Build the data sets of a recipe. Raises RecipeError and DataError for unusable keys and pictures."""
    assert checked.data is not None
    facts: dict[str, object] = {"image_size": checked.recipe.data.image_size}
    data = validation = _dataset(checked.data, facts)
    if checked.validation is not None:
        validation = _dataset(checked.validation, facts)
        if tuple(validation.domains) != tuple(data.domains):
            raise DataError(
                f"{checked.validation.mark}: the held-out pictures have the domains "
                f"{', '.join(validation.domains)}, the training pictures {', '.join(data.domains)}"
            )
    _targets(checked.recipe, data.domains)
    facts |= {"num_domains": len(data.domains), "domains": tuple(data.domains)}
    return DataSets(data, validation, facts)


def _targets(recipe: Recipe, domains: Sequence[str]) -> None:
    """Raise RecipeError for unknown domains in `data.targets`, and for a domain whose only target is itself."""
    if isinstance(recipe.data.targets, str):
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
        if names == [source] and source in domains
    ]
    if problems:
        raise RecipeError(problems)


def _dataset(spec: Spec, facts: Mapping[str, object]) -> Dataset:
    dataset: Dataset = build(spec, facts)
    if len(dataset.domains) < 2:
        raise DataError(
            f"{spec.mark}: {spec.entry.name} has only the domain {', '.join(dataset.domains)}, and a "
            f"translation needs two; add a second one"
        )
    for y, domain in enumerate(dataset.domains):
        try:
            file_name(domain)
        except ValueError as error:
            raise DataError(f"{spec.mark}: the domain {error}; rename it") from None
        if dataset.count(y) == 0:
            raise DataError(f"{spec.mark}: domain {domain} has no pictures; fill it or remove it")
    return dataset
