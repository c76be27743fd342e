"""The uses of a model as the page offers them."""

from __future__ import annotations

from dataclasses import dataclass

from i2i import Translator
from i2i.served_uses import ServedUse
from i2i_core.plan.uses import LATENT, REFERENCE


@dataclass(frozen=True, eq=False)
class Group:
    """Uses that differ in the source of the style alone, a latent or a reference; or a use of its own."""

    uses: tuple[ServedUse, ...]
    mean: ServedUse | None
    """The use that has the mean style, if it is one of them."""

    @property
    def name(self) -> str:
        return " / ".join(use.name for use in self.uses)

    @property
    def main(self) -> ServedUse:
        """The first use; source, inputs and result are those of all."""
        return self.uses[0]

    @property
    def masked(self) -> bool:
        """True if the model makes masks of the picture for its result."""
        return any(node.kind == "tensor" and node.name == "masks" for node in self.main.planned.nodes)

    def of(self, *styles: str) -> ServedUse | None:
        """Return the use with one of these sources of styles."""
        return next((use for use in self.uses if use.style in styles), None)

    @property
    def blends(self) -> bool:
        """True if styles have codes, which can be interpolated."""
        return all(use.codes for use in self.uses)

    def truncates(self, use: ServedUse) -> bool:
        """Return True if styles of a use can be moved towards the mean style."""
        return self.mean is not None and self.mean.codes.keys() == use.codes.keys()


def grouped(model: Translator) -> dict[str, Group]:
    """Return the groups of a model's uses by name, in the order of their first uses."""
    found: list[list[ServedUse]] = []
    for use in model.uses.values():
        pair = next((group for group in found if len(group) == 1 and _a_pair(group[0], use)), None)
        if pair is None:
            found.append([use])
        else:
            pair.append(use)
    means = [model.mean_use(model.domains.index(uses[0].targets[0])) for uses in found]
    groups = [Group(tuple(uses), mean if mean in uses else None) for uses, mean in zip(found, means, strict=True)]
    return {group.name: group for group in groups}


def _a_pair(one: ServedUse, other: ServedUse) -> bool:
    """Return True if two uses make the same result, one with styles from latents and one with those of references."""
    same = all(getattr(one.use, key) == getattr(other.use, key) for key in ("source", "show", "result"))
    return same and one.inputs == other.inputs and {one.style, other.style} == {LATENT, REFERENCE}
